"""Checks for leaks from test to train and for drift; `pipeline.tools.audit` runs them."""
