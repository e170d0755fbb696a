"""The config: its keys and checks (`model`), its YAML text (`loader`), and URLs that it may name.

All other packages may import from here. Modules here import only `pipeline.errors`.
"""
