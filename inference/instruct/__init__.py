"""New chat data from a few examples: instructions that a model invents and answers, each checked before it is kept."""
