"""Prediction: a finished run scores new data.

Modules here import from evaluate, features, ingest, train and everything below.
"""
