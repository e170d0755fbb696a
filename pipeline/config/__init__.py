"""The config: its keys and checks (`model`), its YAML text (`loader`), and URLs that it may name.

Every other room may import from here; this one imports only `pipeline.errors`.
"""
