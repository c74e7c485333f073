"""From one line of a file to a checked record of a known format, and the document it stands for. Imports `model`."""
