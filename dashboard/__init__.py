"""What people see: a Textual application that reads the memory of a run and writes nothing."""
