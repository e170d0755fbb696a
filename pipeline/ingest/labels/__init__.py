"""Target, labels, sets and weights of the rows.

Modules here import from ingest, expression and everything below.
"""
