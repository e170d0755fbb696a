"""Target, labels and split: which rows train, and what they are trained on.

Modules here import from ingest, expression and everything below.
"""
