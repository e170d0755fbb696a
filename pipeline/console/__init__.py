"""The terminal, which shows messages, and the signals that stop a process.

All packages above config may import from here. Modules here import only config and errors.
"""
