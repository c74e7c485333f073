"""From what people have to what a stage trains on: cleaned, judged, without duplicates. Used by `scripts/prepare.py`."""
