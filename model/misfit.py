"""Where weights by name do not fit the parameters that a network or its adapters have."""

from collections.abc import Mapping

from torch import Tensor

MOST_NAMED = 3


def misfit(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """The first parameters that are missing, unknown, no numbers or of another shape, in words; empty if all fit."""
    problems = [f"{name} is missing" for name in expected if name not in weights]
    problems += [f"{name} is unknown" for name in weights if name not in expected]
    for name, tensor in weights.items():
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            problems.append(f"{name} is not a tensor of floating point numbers")
        elif name in expected and tensor.shape != expected[name].shape:
            problems.append(f"{name} has shape {list(tensor.shape)}, not {list(expected[name].shape)}")
    more = f" and {len(problems) - MOST_NAMED} more" if len(problems) > MOST_NAMED else ""
    return ", ".join(problems[:MOST_NAMED]) + more
