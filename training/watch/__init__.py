"""What `scripts/watch.py` shows: runs followed by the files that they write, and the frame that is drawn of them."""
