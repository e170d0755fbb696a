"""Where partitions live: this process, the cores or GPUs of this host, a Dask scheduler."""
