"""The user's files become what a stage trains on: clean, judged, without duplicates. For `scripts/prepare.py`."""
