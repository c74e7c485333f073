"""From what people have to what a stage trains on: the parts of `scripts/prepare.py`."""
