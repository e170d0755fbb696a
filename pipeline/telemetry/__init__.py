"""Measurements of a running run: GPU samples, transfers, gauges for Prometheus.

Modules here import from cluster, memory, device, artifacts and everything below.
"""
