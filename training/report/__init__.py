"""The report of a run: progress, metrics, pictures. Imports `model.files`."""
