"""The bytes of all tensors that are alive, and their peak: what a device must hold, whatever its allocator adds."""

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scripts.benchmark.program import run_program


class LiveBytes(TorchDispatchMode):
    """A context that counts the storages of all tensors that operations return in it, each once, until it is freed.

    Attributes: `now` and `peak`, bytes. Works on any device, also on `meta`, whose tensors take no memory.
    """

    def __init__(self, *tensors: torch.Tensor):
        """tensors: those that are there before."""
        super().__init__()
        self.now = self.peak = 0
        self._known: dict[int, weakref.ref] = {}
        for tensor in tensors:
            self._note(tensor)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if isinstance(each, torch.Tensor):
                self._note(each)
        return result

    def _note(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return

        def freed(_):
            del self._known[key]
            self.now -= size

        self._known[key] = weakref.ref(storage, freed)
        self.now += size
        self.peak = max(self.peak, self.now)


if __name__ == "__main__":
    run_program(__doc__)
