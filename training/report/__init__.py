"""What a run tells: progress, metrics, pictures. Imports `model.files`."""
