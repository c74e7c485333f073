"""Advice for a run that has diverged, in words."""

from training.engine.output import Output


def way_back(output: Output) -> str:
    """The advice when the run could not save its weights."""
    if not output.weight_file.exists():
        return "begin again with a lower --learning_rate"
    return (
        f"the last save in {output.weight_file} is intact; go on from it with --resume if the machine is to blame, or"
        f" {_from(output, 'it')} a lower --learning_rate"
    )


def begin_again(output: Output, step: int) -> str:
    """The advice when the weights of the last good step were saved."""
    return (
        f"the weights after step {step} are in {output.weight_file}; {_from(output, 'them')} a lower --learning_rate,"
        " or with --dtype float32"
    )


def _from(output: Output, what: str) -> str:
    """How to begin again; not from adapters, since they are not a network."""
    return "begin again with" if output.of_adapters else f"begin again from {what} with --from_weight and"
