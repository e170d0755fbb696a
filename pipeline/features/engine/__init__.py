"""Planning, fitting and applying ops over partitions, and their stored state.

Modules here import from features, cluster and everything below.
"""
