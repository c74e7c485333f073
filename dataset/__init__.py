"""From one line of a file to one batch: `records`, `rendering`, `cache`, `rows`, in this order. Imports `model`."""
