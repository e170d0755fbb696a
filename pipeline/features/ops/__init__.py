"""One op, one file; the file's name is the op's."""
