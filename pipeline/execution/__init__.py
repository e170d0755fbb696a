"""One run: the checked job, its context, the cache of stages, and fallbacks.

Modules here import from train, features, ingest, report, telemetry and everything below.
"""
