"""Measurements behind the figures in docs/, for developers: `python scripts/benchmark.py`."""
