"""Feed: one process a venue, which turns its socket into order books in shared memory."""
