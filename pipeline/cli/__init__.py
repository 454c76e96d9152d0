"""The command line: `main` and one module a command. The top layer; it may use everything below."""
