"""Parts of `bench dashboard`: the memory that is looked at, the terminal, and the table to compare with."""
