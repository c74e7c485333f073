"""The network and what it can do alone. Imports nothing of the rest of Sprout."""
