"""What is exported holds numbers only: a NaN or an infinity would be noticed by whoever opens it, or by nobody."""

from collections.abc import Mapping

from torch import Tensor

from model.errors import SproutError


def refuse_not_finite(weights: Mapping[str, Tensor], exported: Mapping[str, Tensor]) -> None:
    """Raises `SproutError` for a tensor with a NaN or an infinity.

    exported: the same weights, perhaps in a type that holds no numbers as large as theirs.
    """
    for name, tensor in exported.items():
        if not tensor.isfinite().all():
            if weights[name].isfinite().all():
                kind = str(tensor.dtype).removeprefix("torch.")
                raise SproutError(f"{name} holds numbers too large for {kind}: choose another type of the weights")
            raise SproutError(f"{name} holds numbers that are not finite: the network diverged or is damaged")
