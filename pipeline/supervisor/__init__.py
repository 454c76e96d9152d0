"""Supervisor process: starts the workers in order, watches them, restarts what ended or hangs.

`policy` decides, `processes` does, `control` answers commands, `worker` is the loop around them.
"""
