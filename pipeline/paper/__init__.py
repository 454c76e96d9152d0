"""Paper: the exchange that fills paper orders as real venues would; a process of its own, as they are."""
