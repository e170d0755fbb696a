"""Everything about XGBoost: training in one process or several, its bins and its checkpoints.

Modules here import from train, cluster and everything below.
"""
