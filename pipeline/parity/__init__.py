"""Comparison of two devices on the same rows.

Modules here import from execution, train and everything below.
"""
