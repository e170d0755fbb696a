"""Where data lie: files, object stores and web servers, and the bytes in them.

Modules here import from config and errors.
"""
