"""Files that hold a network: checkpoints, adapters, folders of Hugging Face. Imports the network and `model.text`."""
