"""The automatic choice of ops from profiles of the columns.

Modules here import from features, ingest and everything below.
"""
