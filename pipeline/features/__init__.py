"""Feature ops: what an op is, the registry of all ops, and trying one on a small table.

The rooms below hold the ops (`ops`), their fitting and application over partitions (`engine`),
the statistics they share (`stats`) and the automatic choice of ops (`auto`).

Modules here import from cluster, expression, artifacts, device, matrix, schema, config and errors.
"""
