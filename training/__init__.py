"""What the loops of all stages share, in five folders. Imports `inference`, `dataset` and `model`."""
