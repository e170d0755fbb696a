"""What is measured while a run works: GPU samples, transfers, gauges for Prometheus.

Modules here import from cluster, device, artifacts and everything below.
"""
