"""Rewards: what rates an answer. Built-in functions, a reward model, and functions of the user's own."""
