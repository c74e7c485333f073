"""The page about one run or several: what they left, read and shown. Loaded only by scripts/report.py."""
