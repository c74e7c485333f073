"""Whether a curve of training is normal, and what to try next. Imports `training.report`."""
