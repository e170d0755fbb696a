"""CSV: dialect, type inference, and parsing of blocks.

Modules here import from ingest.sources, device, schema, config and errors.
"""
