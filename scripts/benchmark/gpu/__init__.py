"""Measurements on a GPU, side by side with an earlier commit and with other people's programs."""
