"""Scanner process: books -> event rows and opportunities.

It compares the books of every event in both directions, publishes what it finds with the reason of every
no, and sends the trader what passes.
"""
