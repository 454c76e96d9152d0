"""Bytes that processes share: one memory-mapped file per process, written by it alone, read by all.

This package knows rows, slots and counters, and nothing of markets or money. It imports nothing of ours.
"""
