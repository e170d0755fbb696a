"""Statistics that ops are fitted on or transform with: counts, moments, groups, key tables, texts.

Modules here import from `features.op`, `features.saved_state`, device, schema and errors.
"""
