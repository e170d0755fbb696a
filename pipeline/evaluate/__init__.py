"""Evaluation of scores on the host: metrics, curves, slices and the columns of predictions.

Modules here import from train, matrix, artifacts, config, device and below.
"""
