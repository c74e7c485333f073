"""A figure of metrics.jsonl in words, as runs print it: a share is so many percent."""

SHARES = ("accuracy", "accuracies", "ended")  # how their names end


def figure(name: str, value: float) -> str:
    return f"{value:.1%}" if name.endswith(SHARES) else f"{value:.4f}"
