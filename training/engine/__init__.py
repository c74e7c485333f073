"""The mechanism of a run: steps, updates, plan, resuming.

Imports `training.report`, `training.diagnosis` and `training.losses`.
"""
