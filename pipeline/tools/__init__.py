"""The work of the smaller commands: plan, init, runs, compare, clean, profile and schema.

Only `pipeline.cli` imports from here; modules here may import from all packages below cli.
"""
