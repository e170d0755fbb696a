"""Planning, fitting and applying ops over partitions, and storing their fitted state.

Modules here import from features, cluster and everything below.
"""
