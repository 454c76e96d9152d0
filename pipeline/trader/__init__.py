"""Trader process: opportunity -> last look -> risk -> size -> order -> journal.

It receives opportunities, reads the books again just before it decides, asks the risk gate, commits its
intents, hands approved orders to a broker and books what the broker reports.
"""
