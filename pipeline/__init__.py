"""The flow: one package per operating-system process, and the few modules they share.

A price enters in `feed`, is compared in `scanner`, traded in `trader`, shown by the dashboard. Processes
never import each other; they meet in shared memory, messages, the journal and the tape.
"""
