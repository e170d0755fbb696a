"""Metrics and curves from scores and labels, on the host."""
