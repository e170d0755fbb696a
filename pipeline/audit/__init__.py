"""Checks of a finished run for leaks from test to train and for drift.

Modules here import from execution, predict, report and everything below. A check is a function
``Evidence -> CheckResult``; `pipeline.audit.checks.CHECKS` lists them all.
"""
