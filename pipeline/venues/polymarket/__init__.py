"""Polymarket: a prediction market on a chain; each outcome is a token that pays one dollar."""
