"""Observer: the stage that tells others what a run does: files of JSON, metrics, alerts, a daily summary.

In: every segment of the run, read-only. Out: data/*.json, a page for Prometheus, messages. Nothing that
trades waits for it, and it may be killed at any time.
"""
