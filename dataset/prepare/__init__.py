"""From what people have to what a stage trains on: clean, judged, without duplicates. For `scripts/prepare.py`."""
