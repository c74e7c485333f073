"""Measurements behind docs/scale.md."""
