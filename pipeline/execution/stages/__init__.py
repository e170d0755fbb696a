"""The stages of a run.

Modules here import from execution and everything below.
"""
