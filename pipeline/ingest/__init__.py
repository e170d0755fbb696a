"""Reading of files as partitions of typed columns with row ids.

Modules here import from cluster, artifacts, expression, device, schema, config and errors.
"""
