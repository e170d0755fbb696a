"""The Dask cluster that holds the partitions: this process, this host, or a running scheduler.

Modules here import from device, artifacts, console, config and errors.
"""
