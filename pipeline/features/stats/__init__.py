"""Summaries that ops are fitted on: counts, moments, groups, target means.

Modules here import from device, schema and errors.
"""
