"""`--shard`: the numbers of a network spread over the processes of torchrun, by FSDP2 (`torch.distributed.fsdp`).

Every parameter is cut along its first dimension, and process r of N holds the r-th piece of it, with the piece of its
gradient and of its moments. The pieces of a block are gathered when it computes:

* `full` (ZeRO-3): a block is whole only while it computes, forwards and again backwards.
* `optimizer` (ZeRO-2): a block that has computed stays whole until its gradient is there.

Embedding, last norm and head, outside of the blocks, stay whole from forward to backward in both. A block is gathered
in the precision that the run computes in, the rest in float32, as the residual stream is. Gradients are summed over the
processes in float32, after every micro-batch, so that only a piece of them is kept.

Validation, samples, rollouts and everything else that only reads the network gather it once (`Shards.whole`). What is
saved is the ordinary file of a run of one process. Frozen networks beside it are whole in every process.
https://arxiv.org/abs/1910.02054 (ZeRO), https://arxiv.org/abs/2304.11277 (FSDP).
"""

import atexit
import contextlib
import copy
import gc
from collections.abc import Iterable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, Shard

from model.errors import UsageError
from training.engine import distributed
from training.engine.memory import Footprint
from training.engine.memory_of_shards import spread
from training.engine.muon import Muon
from training.engine.sharded_optimizers import ShardedAdamW, ShardedMuon, own_rows, piece_of
from training.engine.update import SMALLEST, SMALLEST_NORM, Measures, Updater


def refuse(args) -> None:
    """Raises `UsageError` where flags do not go together with --shard, or torch is too old for it."""
    if not hasattr(FSDPModule, "reset_iter_state"):
        raise UsageError(
            f"--shard needs torch 2.13, and this is {torch.__version__}: update torch, or leave --shard out"
        )
    if distributed.world_size() == 1:
        raise UsageError(
            "--shard spreads the network over several processes, and this is one: start it by torchrun"
            " --nproc_per_node N, or leave --shard out"
        )
    flags = {
        "--optimizer_memory compact": args.optimizer_memory == "compact",
        "--offload_states": args.offload_states,
        "--compile on": args.compile == "on",
        "--activation_checkpointing cheap": args.activation_checkpointing == "cheap",
        "--histograms": args.histograms,
        "--fit": args.fit is not None,
        "--train_only": getattr(args, "train_only", None) is not None,
        "--on_policy": bool(getattr(args, "on_policy", None)),
        "--loss_type kto": getattr(args, "loss_type", None) == "kto",
    }
    if wrong := [flag for flag, given in flags.items() if given]:
        raise UsageError(f"--shard and {wrong[0]} do not go together: leave one of them out")


class Shards:
    """The networks of a run that are spread over its processes, and what has to be done otherwise with them."""

    def __init__(self, args, machine):
        """Raises `UsageError` where flags do not go together."""
        refuse(args)
        self.mode = args.shard
        self.machine = machine
        self._networks: list[nn.Module] = []
        self._skeletons: dict[nn.Module, nn.Module] = {}
        self._depth = 0
        self._mesh = None
        self._stand_in = None
        self._facts = {}

    # --- how a network is spread ---

    def spread(self, model: nn.Module, optimizers: list[torch.optim.Optimizer]) -> list[torch.optim.Optimizer]:
        """Spreads `model` in place, and returns sharded optimizers in place of `optimizers`, which are over its
        parameters and have not made a step. All processes must hold the same weights."""
        if hasattr(model.config, "num_experts"):
            raise UsageError("--shard is not for a network with experts: leave it out, or take a dense one")
        if self._mesh is None:
            self._mesh = init_device_mesh(self.machine.device.type, (distributed.world_size(),))
            atexit.register(self._let_go)
        names = {parameter: name for name, parameter in model.named_parameters()}
        groups = [[[names[p] for p in group["params"]] for group in each.param_groups] for each in optimizers]
        unset = {id(p): nn.Parameter(torch.empty_like(p, device="meta"), p.requires_grad) for p in names}
        skeleton = copy.deepcopy(model, unset)
        kind = self.machine.choice.dtype
        half = MixedPrecisionPolicy(kind, torch.float32, cast_forward_inputs=False)
        rest = MixedPrecisionPolicy(torch.float32, torch.float32, cast_forward_inputs=False)
        for layer in model.model.layers:
            fully_shard(layer, mesh=self._mesh, reshard_after_forward=self.mode == "full", mp_policy=half)
        fully_shard(model, mesh=self._mesh, reshard_after_forward=False, mp_policy=rest)
        register_fsdp_forward_method(model, "features")  # the stages call this, not `forward`
        for module in _modules(model):  # a sum, as `Updater` wants it, not a mean over processes
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
        self._networks.append(model)
        self._skeletons[model] = skeleton
        model.register_state_dict_post_hook(partial(Shards._gather_state, self))
        model.register_load_state_dict_pre_hook(partial(Shards._cut_state, self))
        self._try(model)
        self.machine.say(
            f"spread    {self.mode}: {sum(p.numel() for p in names) / 1e6:.3f} M parameters in"
            f" {distributed.world_size()} pieces, with their gradients and moments"
        )
        pieces = {name: piece_of(parameter) for name, parameter in model.named_parameters()}
        made = []
        for optimizer, places in zip(optimizers, groups):
            for group, members in zip(optimizer.param_groups, places):
                group["params"] = [pieces[name] for name in members]
            made.append((ShardedMuon if isinstance(optimizer, Muon) else ShardedAdamW)(optimizer))
        return made

    def _let_go(self) -> None:
        """Frees the process group when the process ends. Else its threads live on, and can abort the process.

        `destroy_process_group` does not free it: the mesh keeps it in a table, and PyTorch's caches keep the mesh
        (torch 2.13, torch/distributed/device_mesh.py).
        """
        self._networks.clear()
        self._skeletons.clear()
        getattr(self._mesh, "_pg_registry", {}).clear()
        gc.collect()

    def _try(self, model: nn.Module) -> None:
        """One token through the network: FSDP sets itself up in its first forward pass, beginning at the root."""
        with torch.no_grad(), self.machine.autocast():
            model.features(torch.zeros(1, 1, dtype=torch.int64, device=self.machine.device))
        self._cut_again([model])

    def footprint(self, whole: Footprint) -> Footprint:
        """The memory of one of the processes, of that of a run of one."""
        return spread(whole, self.mode, self.machine.world_size)

    # --- where it is needed whole ---

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        """A context in which every process holds the networks whole, and computes with them without the others. All
        processes enter it; inside another one it does nothing."""
        self._depth += 1
        try:
            if self._depth == 1:
                for module in self._modules():
                    module.set_reshard_after_forward(False, recurse=False)
                    module.unshard()
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                self._cut_again(self._networks)

    def _modules(self) -> list[FSDPModule]:
        return [module for network in self._networks for module in _modules(network)]

    def _cut_again(self, networks: list[nn.Module]) -> None:
        for network in networks:
            for module in _modules(network):
                module.reshard()
                module.set_reshard_after_forward(self.mode == "full" and module is not network, recurse=False)
            network.reset_iter_state()  # else the next backward pass would prefetch in the order of these passes

    # --- what is saved and restored ---

    @torch.no_grad()
    def _gather_state(self, model, state: dict, prefix: str, metadata) -> None:
        """After `state_dict`: whole tensors, gathered one at a time, in the main process; elsewhere only shapes."""
        found: dict[nn.Parameter, Tensor] = {}
        for name, parameter in model.named_parameters(remove_duplicate=False):
            if parameter not in found:
                whole = parameter.full_tensor()
                found[parameter] = whole.cpu() if distributed.is_main() else whole.to("meta")
            state[prefix + name] = found[parameter]

    @torch.no_grad()
    def _cut_state(self, model, state: dict, prefix: str, *_) -> None:
        """Before `load_state_dict`: keeps this process's piece of every whole tensor."""
        for name, parameter in model.named_parameters(remove_duplicate=False):
            value = state.get(prefix + name)
            if value is None or isinstance(value, DTensor):
                continue
            if value.is_meta:  # from `_gather_state`: the network's own
                state[prefix + name] = parameter.detach()
                continue
            local = own_rows(value).to(parameter.device, parameter.dtype)
            shape, stride = parameter.shape, parameter.stride()
            state[prefix + name] = DTensor.from_local(local, self._mesh, [Shard(0)], shape=shape, stride=stride)

    def gather(self, run, tensors: dict[str, Tensor]) -> None:
        """Makes ready what the main process writes as weights. All processes call it. tensors: `changing_state`."""
        self._facts = run.more_facts()
        if distributed.is_main():
            self._stand_in = copy.deepcopy(self._skeletons[run.model])
            self._stand_in.load_state_dict(tensors, strict=False, assign=True)

    @property
    def model(self) -> nn.Module:
        """The network that `gather` put together, once: its memory is free when it is written."""
        found, self._stand_in = self._stand_in, None
        return found

    def more_facts(self) -> dict:
        return self._facts

    # --- how it learns ---

    def updater(self, *settings) -> Updater:
        return ShardedUpdater(*settings)

    def batches(self, step, batches: Iterable) -> Iterator:
        """The micro-batches of a step, as many in every process, since all compute a block together.

        A process that has fewer computes some again, or another's, without effect on gradients, counts and measures.
        """
        own = list(batches)
        counts = distributed.gathered(len(own))
        others = own[:1]
        if min(counts) == 0 and max(counts):
            others = next(filter(None, distributed.gathered(own[:1])))
        yield from own
        measures, step.lends = step._measures, True
        for updater in step._updaters.values():
            updater.blank = True
        for _ in range(max(counts) - len(own)):
            step._measures = Measures()
            yield from others
        step._measures, step.lends = measures, False
        for updater in step._updaters.values():
            updater.blank = False


def _modules(network: nn.Module) -> list[FSDPModule]:
    """The root first."""
    return [module for module in network.modules() if isinstance(module, FSDPModule)]


class ShardedUpdater(Updater):
    """An `Updater` over pieces of parameters: gradients are summed by FSDP, and their norm is that of all pieces."""

    blank = False  # whether the micro-batch counts for nothing

    def __init__(self, *settings):
        super().__init__(*settings)
        count = sum(piece.whole.numel() for piece in self.parameters)
        self.rounding = max(SMALLEST_NORM, SMALLEST * count**0.5)

    @property
    def factor(self) -> float:
        return 0.0 if self.blank else super().factor

    def add(self, loss_sum, count, trained=None) -> None:
        if not self.blank:
            super().add(loss_sum, count, trained)

    def forget_gradients(self) -> None:
        for piece in self.parameters:
            piece.grad = piece.whole.grad = None

    def _summed(self) -> tuple[list[Tensor], Tensor]:
        for piece in self.parameters:
            found = piece.whole.grad
            piece.grad = torch.zeros_like(piece) if found is None else found.to_local()
        gradients = [piece.grad for piece in self.parameters]
        squares = torch.stack(torch._foreach_norm(gradients)).square().sum()
        return gradients, distributed.sum_over_processes(squares).sqrt()
