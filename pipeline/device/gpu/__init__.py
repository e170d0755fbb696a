"""The GPU's side; imported only once a GPU is chosen."""
