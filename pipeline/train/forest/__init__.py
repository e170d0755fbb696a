"""Everything about the random forest: training in one process or several, scoring and its file.

Modules here import from train, cluster and everything below.
"""
