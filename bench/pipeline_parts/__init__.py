"""The parts of `bench pipeline`: each process of it is one module."""
