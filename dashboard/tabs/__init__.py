"""The six tabs: one module each, with its panels, its grid and its keys."""
