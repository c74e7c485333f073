"""From one line of a file to a checked record of a known format. Imports `model.errors`."""
