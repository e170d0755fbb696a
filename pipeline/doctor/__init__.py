"""Examination of the machine: drivers, GPUs, packages and limits.

Modules here import from cluster, device, config and errors.
"""
