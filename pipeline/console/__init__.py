"""The terminal and signals: what people read, and what stops a process.

Modules here import from config and errors.
"""
