"""The network and what it can do alone: nothing here imports the rest of Sprout."""
