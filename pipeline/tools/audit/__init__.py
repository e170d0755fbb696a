"""`audit`: a finished run and its data opened again, and looked at for leaks and drift."""
