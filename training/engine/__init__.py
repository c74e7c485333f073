"""The mechanism of a run: steps, updates, plan, resuming. Imports `training.report`, `diagnosis` and `losses`."""
