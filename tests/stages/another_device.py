"""A device beside the host that is there on every machine: its tensors compute on the CPU, and meet only each other.

A GPU refuses an operation between its tensors and those of the host, and whoever reads a number of it waits for it.
Both are easily overlooked on a CPU. Here a tensor of the device is one of the CPU in a wrapper, which refuses as a GPU
does, and counts what waits. The device is called "meta": besides the CPU, that is the one that every torch knows.
"""

import contextlib
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

import model.files.checkpoint
import model.gpu
import training.engine.speed

DEVICE = torch.device("meta")
CROSSING = ("aten::_to_copy", "aten::copy_", "aten::index", "aten::index_put_")  # what may take a tensor of each


class There(torch.Tensor):
    """A tensor of the device. `here`: its numbers, on the CPU."""

    def __new__(cls, here: torch.Tensor):
        layout = {"strides": here.stride(), "storage_offset": here.storage_offset(), "dtype": here.dtype}
        tensor = torch.Tensor._make_wrapper_subclass(cls, here.shape, device=DEVICE, **layout)
        tensor.here = here
        return tensor

    __torch_dispatch__ = classmethod(lambda cls, function, types, args=(), kwargs=None: run(function, args, kwargs))

    is_meta = False  # it has numbers

    def tolist(self):
        waits.append("tolist")
        return self.here.tolist()

    def numpy(self, *args, **kwargs):
        raise TypeError("a tensor of the device has no numpy array: copy it to the host first")

    __array__ = numpy


waits: list[str] = []  # what has waited for the device since `another_device` began


def run(function, args, kwargs):
    """One operation of torch, on the device if a tensor of it takes part or the result is asked for there."""
    kwargs, name = kwargs or {}, function._schema.name
    tensors = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, torch.Tensor)]
    of_device = any(isinstance(tensor, There) for tensor in tensors)
    asked = kwargs.get("device") and torch.device(kwargs["device"])
    if not of_device and asked != DEVICE:
        return function(*args, **kwargs)
    if of_device and name not in CROSSING:
        strangers = [list(t.shape) for t in tensors if not isinstance(t, There) and t.dim() > 0]
        if strangers:
            raise RuntimeError(f"{name}: a tensor {strangers[0]} of the host meets those of the device")
    if name == "aten::_local_scalar_dense":
        waits.append(name)
    inside, settings = tree_map(_here, args), tree_map(_here, kwargs)
    if asked:
        settings["device"] = torch.device("cpu")
    found = function(*inside, **settings)
    if asked and asked != DEVICE:
        return found
    if function._schema.name.endswith("_") and isinstance(args[0], torch.Tensor):  # in place
        return args[0]
    return tree_map(lambda each: There(each) if isinstance(each, torch.Tensor) else each, found)


def _here(value):
    return value.here if isinstance(value, There) else value


class _Operations(TorchDispatchMode):
    """Sees every operation, also those that make a tensor from none."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return run(function, args, kwargs)


class _Generator(torch.Generator):
    """Random numbers for the device, from the CPU."""

    def __new__(cls, device="cpu"):
        return super().__new__(cls, "cpu")


def _tensor(*args, honest=torch.tensor, device=None, **more):
    """`torch.tensor`, which makes a tensor of "meta" without any number."""
    made = honest(*args, **more)
    return made if device is None or torch.device(device) != DEVICE else There(made)


def _save(content, *args, honest=torch.save, **more):
    return honest(tree_map(_here, content), *args, **more)


def _autocast(honest, kind=None, *args, **more):
    """The functions of autocast, which know no such device."""
    kind = "cpu" if kind is not None and torch.device(kind) == DEVICE else kind
    return honest(*args, **more) if kind is None else honest(kind, *args, **more)


def _inference_mode(mode: bool):
    """What `torch.inference_mode` begins, also as a decorator: a wrapper cannot be made in it."""
    return torch.no_grad() if mode else contextlib.nullcontext()


@contextlib.contextmanager
def another_device() -> Iterator[list[str]]:
    """Context in which every run computes on the device, in float32; yields what waits for it, as it comes."""
    changes = [
        (model.gpu, "gpu_called", lambda name: DEVICE),
        (model.gpu, "best_dtype", lambda device: (torch.float32, "all that it can")),
        (model.files.checkpoint, "_check_plain", lambda *args: None),
        (torch, "tensor", _tensor),
        (torch, "save", _save),
        (torch, "Generator", _Generator),
        (torch._C, "_InferenceMode", _inference_mode),
        *((torch, name, partial(_autocast, getattr(torch, name))) for name in ("is_autocast_enabled", "autocast")),
        (import_module("torch.optim.optimizer"), "_get_fused_kernels_supported_devices", lambda: ["meta"]),
    ]
    waits.clear()
    with DEVICE:  # the first time, torch notes which functions make tensors: to be the real ones, for later tests
        torch.empty(0)
    with contextlib.ExitStack() as stack:
        for owner, name, changed in changes:
            stack.enter_context(mock.patch.object(owner, name, changed))
        stack.enter_context(mock.patch.dict(training.engine.speed.OPERATIONS_PER_SECOND, {"meta": 1e12}))
        stack.enter_context(_Operations())
        yield waits
