"""The command line: one module per command, its options, progress and summary.

Modules here import from every other package; nothing imports from here but `__main__`.
"""
