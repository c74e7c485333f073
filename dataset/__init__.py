"""From one line of a file to one batch. Imports `model`."""
