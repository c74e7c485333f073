"""Files that hold a network: checkpoints, adapters, Hugging Face folders. Imports `model` and `model.text`."""
