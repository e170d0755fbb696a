"""Examination of the machine: drivers, GPUs, packages, limits.

Modules here import from cluster, device, config and errors.
"""
