"""A CUDA GPU that is there on every machine: its tensors compute on the CPU, and meet only each other.

A GPU refuses an operation between its tensors and those of the host, and whoever reads a number of it waits for it.
Both are easily overlooked on a CPU. Here a tensor of the device is one of the CPU in a wrapper, which refuses as a GPU
does, and counts what waits. So a run takes the paths that only CUDA has: plans by the memory of a card, batches that a
thread copies, and passes and decoding that are recorded as graphs (`recorded_work.py`). What only a card can show stays
open: its kernels and their rounding, autocast, speed, and what runs at the same time.
"""

import contextlib
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from unittest import mock

import torch
import torch._dynamo  # it looks at functions that are changed below
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

import model.files.checkpoint
import model.gpu
from model import cuda_graphs
from tests.stages.recorded_work import Graph, Stream, recording, refuse_to_wait

DEVICE, CARD = torch.device("cuda", 0), 80 * 2**30
COPIES, INDEXING = ("aten::_to_copy", "aten::copy_"), ("aten::index", "aten::index_put_")
CROSSING = (*COPIES, *INDEXING)  # what may take a tensor of each
READING = ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::_unique2", "aten::equal")
# With --deterministic a GPU refuses these, and `cumsum` of numbers that are not whole.
UNORDERED = ("aten::kthvalue", "aten::median", "aten::histc", "aten::put_", "aten::scatter_reduce", "aten::cumprod")


class There(torch.Tensor):
    """A tensor of the device. `here`: its numbers, on the CPU. To the C++ of torch it is one without numbers ("meta"),
    which is all that every build of it knows beside the CPU."""

    def __new__(cls, here: torch.Tensor):
        with _disable_current_modes():
            shape = torch.empty_strided(here.shape, here.stride(), dtype=here.dtype, device="meta")
        tensor = torch.Tensor._make_subclass(cls, shape, False, device_for_backend_keys=DEVICE)
        tensor.here = here
        return tensor

    __torch_dispatch__ = classmethod(lambda cls, function, types, args=(), kwargs=None: run(function, args, kwargs))

    device, is_cuda, is_cpu = DEVICE, True, False
    is_meta = False  # it has numbers

    @property
    def data(self):
        return There(self.here.detach())

    @data.setter
    def data(self, value):
        torch.Tensor.data.__set__(self, value)
        self.here = value.here

    def tolist(self):
        _wait("tolist")
        return self.here.tolist()

    def numpy(self, *args, **kwargs):
        raise TypeError("a tensor of the device has no numpy array: copy it to the host first")

    __array__ = numpy


waits: list[str] = []  # what has waited for the device since `another_device` began


def _wait(what: str) -> None:
    refuse_to_wait(what)
    waits.append(what)


def run(function, args, kwargs):
    """One operation of torch, on the device if a tensor of it takes part or the result is asked for there."""
    kwargs, name = dict(kwargs or {}), function._schema.name
    tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
    of_device = any(isinstance(tensor, There) for tensor in tensors)
    asked = kwargs.get("device") and torch.device(kwargs["device"])
    there = asked is not None and asked.type in ("cuda", "meta")
    if not of_device and not there:
        return function(*args, **kwargs)
    _refuse(name, args, kwargs, tensors, of_device)
    inside, settings = tree_map(_here, args), tree_map(_here, kwargs)
    if asked:
        settings["device"] = torch.device("cpu")
    compute = partial(function, *inside, **settings)
    values = dict(zip((each.name for each in function._schema.arguments), inside)) | settings
    writes = [each.name for each in function._schema.arguments if each.alias_info and each.alias_info.is_write]
    written = [each for each in tree_leaves([values[name] for name in writes]) if isinstance(each, torch.Tensor)]
    found = recording[-1].note(compute, written) if recording else compute()
    if asked and not there:
        return found
    if name.endswith("_") and isinstance(args[0], torch.Tensor):  # in place
        return args[0]
    return tree_map(lambda each: There(each) if isinstance(each, torch.Tensor) else each, found)


def _refuse(name: str, args, kwargs, tensors: list[torch.Tensor], of_device: bool) -> None:
    """Raises what a GPU would, and notes what waits for it."""
    strangers = [list(t.shape) for t in tensors if not isinstance(t, There) and t.dim() > 0]
    if of_device and strangers and name not in CROSSING:
        raise RuntimeError(f"{name}: a tensor {strangers[0]} of the host meets those of the device")
    floats = name == "aten::cumsum" and tensors[0].is_floating_point()
    if (floats or name in UNORDERED) and torch.get_deterministic_debug_mode() == 2:
        raise RuntimeError(f"{name} does not have a deterministic implementation")
    masks = name in INDEXING and any(each is not None and each.dtype == torch.bool for each in args[1])
    source, target = name in COPIES and _is_there(args[name == "aten::copy_"]), _is_target(name, args, kwargs)
    copies = name in COPIES and source != target and not (target and _is_non_blocking(name, args, kwargs))
    if name in READING or masks or copies or (name in INDEXING and strangers):
        _wait(name)


def _is_there(value) -> bool:
    return isinstance(value, There)


def _is_target(name: str, args, kwargs) -> bool:
    """Whether a copy stays on the device."""
    return _is_there(args[0]) if name == "aten::copy_" else torch.device(kwargs.get("device") or DEVICE).type != "cpu"


def _is_non_blocking(name: str, args, kwargs) -> bool:
    """Whether a copy to the device is queued like all its other work. A copy to the host is always waited for here."""
    return kwargs.get("non_blocking", name == "aten::copy_" and args[2:] == (True,))


def _here(value):
    return value.here if isinstance(value, There) else value


class _Operations(TorchDispatchMode):
    """Sees every operation, also those that make a tensor from none. Each thread needs its own."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return run(function, args, kwargs)


class _Generator(torch.Generator):
    """Random numbers for the device, from the CPU."""

    def __new__(cls, device="cpu"):
        return super().__new__(cls, "cpu")


def _tensor(*args, honest=torch.tensor, device=None, **more):
    """`torch.tensor`, which would make a tensor without numbers."""
    made = honest(*args, **more)
    return made if device is None or torch.device(device).type != "cuda" else There(made)


def _save(content, *args, honest=torch.save, **more):
    return honest(tree_map(_here, content), *args, **more)


def _copied(tensor, device, honest=model.gpu._copied):
    """The copy of a batch, in a thread."""
    with _Operations():
        return honest(tensor, device)


def _inference_mode(mode: bool):
    """What `torch.inference_mode` begins, also as a decorator: a wrapper cannot be made in it."""
    return torch.no_grad() if mode else contextlib.nullcontext()


def _nothing(*args, **kwargs):
    pass


@contextlib.contextmanager
def another_device() -> Iterator[list[str]]:
    """Context in which there is the device, an Ampere card of 80 GB; yields what waits for it, as it comes."""
    changes = {
        torch.cuda: {
            **dict.fromkeys(("_lazy_init", "synchronize", "empty_cache", "manual_seed_all"), _nothing),
            **dict.fromkeys(("stream", "device"), lambda which: contextlib.nullcontext()),
            "is_available": lambda: True,
            "device_count": lambda: 1,
            "is_current_stream_capturing": lambda: False,
            "get_device_capability": lambda device=None: (8, 0),
            "get_device_name": lambda device=None: "a card that pretends",
            "mem_get_info": lambda device=None: (CARD, CARD),
            "max_memory_allocated": lambda device=None: 2**30,
            "default_generators": (torch.default_generator,),
            "graph_pool_handle": lambda: "pool",
            "current_stream": Stream,
            "Stream": Stream,
            "CUDAGraph": Graph,
        },
        torch.accelerator: {"current_stream": Stream},
        torch: {
            "tensor": _tensor,
            "save": _save,
            "Generator": _Generator,
            # `Module.to` makes new parameters, and does not put memory of the device into those of the host.
            "_has_compatible_shallow_copy_type": lambda input, from_: False,
        },
        torch._C: {"_InferenceMode": _inference_mode},
        torch.Tensor: {"pin_memory": torch.Tensor.clone, "record_stream": _nothing},
        import_module("torch.optim.optimizer"): {"_get_fused_kernels_supported_devices": lambda: ["cuda", "meta"]},
        model.gpu: {"_copied": _copied},
        model.files.checkpoint: {"_check_plain": _nothing},
    }
    waits.clear()
    with torch.device("meta"):  # the first time, torch notes which functions make tensors: the real ones
        torch.empty(0)
    with contextlib.ExitStack() as stack:
        for owner, names in changes.items():
            for name, changed in names.items():
                stack.enter_context(mock.patch.object(owner, name, changed, create=True))
        stack.callback(cuda_graphs.side_stream.cache_clear)
        stack.enter_context(_Operations())
        yield waits
