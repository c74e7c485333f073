"""A document before it is judged: what is not text leaves it, and every change is counted."""
