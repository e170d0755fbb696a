"""Feature ops, one per module; the module's name is the op's name in the YAML file.

Modules here import from `features.op`, `features.column_op`, `features.stats` and all below.
"""
