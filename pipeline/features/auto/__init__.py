"""The automatic choice of ops from the columns' profiles.

Modules here import from features, ingest and everything below.
"""
