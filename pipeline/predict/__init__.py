"""New data through a finished run."""
