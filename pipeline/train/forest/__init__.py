"""The random forest: training in one process or several, and scoring.

Modules here import from train, cluster and everything below.
"""
