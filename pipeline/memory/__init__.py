"""The memory plan: bytes per stage on host, device and disk, before the work starts.

Modules here import from device, config and errors.
"""
