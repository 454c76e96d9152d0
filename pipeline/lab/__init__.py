"""The lab: simulated venues on loopback, in the venues' real protocols; run by `run.py lab`."""
