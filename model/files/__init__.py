"""Files that hold a network: checkpoints, adapters, folders of Hugging Face. Imports `model` and `model.text`."""
