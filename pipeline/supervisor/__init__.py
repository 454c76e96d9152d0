"""Supervisor process: starts the workers in order, watches them, restarts what ended or hangs.

`policy` decides, `processes` does, `staff` is the workers, `control` hears commands, `commands` obeys,
`configuration` carries the settings, `worker` is the loop around them.
"""
