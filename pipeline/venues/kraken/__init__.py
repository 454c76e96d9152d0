"""Kraken: a spot exchange; prices in the quote currency, every book message carries a checksum."""
