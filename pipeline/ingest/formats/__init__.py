"""Formats other than CSV and Parquet: each file is converted once, and the copy is read.

Modules here import from ingest.sources, artifacts, console, config and errors.
"""
