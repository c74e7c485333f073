"""Layers made without initial values, where others follow at once: a file's, or those of another network."""

from torch.overrides import TorchFunctionMode


class Undrawn(TorchFunctionMode):
    """Context in which the functions of `torch.nn.init` leave tensors as they are.

    A network makes its layers on the device "meta". To draw there, torch imports its compiler, and a chat would begin
    a second later.
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if getattr(function, "__module__", None) == "torch.nn.init":
            return None
        return function(*args, **(kwargs or {}))
