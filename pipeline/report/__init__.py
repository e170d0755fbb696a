"""The run folder as one HTML file, and the page's parts that the benchmark's page shares.

Modules here import from evaluate, features, ingest, train, telemetry and everything below.
"""
