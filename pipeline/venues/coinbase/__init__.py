"""Coinbase Advanced Trade: a spot exchange; whole books, one sequence over each connection."""
