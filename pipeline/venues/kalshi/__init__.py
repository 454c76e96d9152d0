"""Kalshi: a regulated prediction market; prices in dollars per contract that pays one dollar."""
