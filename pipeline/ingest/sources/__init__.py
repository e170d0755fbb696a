"""Sources of data: local files, object stores and web servers, and the bytes of their files.

Modules here import from config and errors.
"""
