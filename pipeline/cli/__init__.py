"""The command line: one module per command, and the options and output that commands share.

Only `pipeline.__main__` may import from here. Modules import their libraries when a command runs.
"""
