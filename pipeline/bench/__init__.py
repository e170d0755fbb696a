"""Measurements of runs by rows and device: seconds, memory and cost.

Modules here import from execution, report and everything below.
"""
