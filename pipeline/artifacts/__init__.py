"""Files of a run folder: atomic writes, the manifest, the ledger and the folders themselves.

Modules here import from config, console and errors.
"""
