"""`--optimizer_memory compact`: AdamW and Muon for a network in bfloat16 with lower halves beside.

Bytes for each parameter, with AdamW: 2 of the weight, 2 of its lower half, 2 of the gradient, 2.06 of both moments;
with Muon the momentum is a bfloat16, 2. The exact optimizers take 16 and 12. Where everything is rounded and why that
does no harm: `training/engine/compact_network.py`, `training/engine/blocks.py`. The arithmetic is that of the exact
optimizers, in float32, on one tensor or a piece of it at a time, so that there never is a float32 copy of the network.

A state is saved as it is, codes and scales, so a resumed run goes on to the bit. `exact_state` makes the moments of the
exact AdamW of it, and `CompactAdamW.load_state_dict` takes those of either.
"""

import math

import torch
from torch import nn

from model.device import Device
from model.errors import UsageError
from training.engine.blocks import decode_m, decode_v, encode_m, encode_v, scales_of
from training.engine.compact_network import make_compact, pieces
from training.engine.muon import Muon
from training.engine.split import thresholds

AT_ONCE_ON_A_GPU = 2**24  # numbers in a batch of Muon, which takes float32 copies of them; on a CPU one matrix


def made_compact(optimizers: list, model: nn.Module, offload: bool) -> list[torch.optim.Optimizer]:
    """Makes `model` compact, and compact optimizers of exact ones that have not made a step, over the same groups.

    offload: keep moments and lower halves in the memory of the CPU, and bring over a piece at a time. Where only
    adapters learn, the exact optimizers stay.
    """
    masters = make_compact(model, offload)
    if masters is None:
        return optimizers
    return [(CompactMuon if isinstance(each, Muon) else CompactAdamW)(each, masters, offload) for each in optimizers]


def refuse(args, model: nn.Module, choice: Device) -> None:
    """Raises `UsageError` where flags of compact optimizers cannot work, or of --fit, which may choose them."""
    if args.fit and (args.batch_size or args.accumulation_steps):
        raise UsageError("--fit chooses --batch_size and --accumulation_steps: give it, or these")
    if args.optimizer_memory != "compact":
        if args.offload_states:
            raise UsageError("--offload_states is for --optimizer_memory compact: give both")
        return
    if choice.device.type == "mps":
        raise UsageError("--optimizer_memory compact is for a CPU or a CUDA GPU: leave it out on an Apple GPU")
    if choice.dtype != torch.bfloat16:
        raise UsageError(
            "--optimizer_memory compact computes in bfloat16, and this run in"
            f" {str(choice.dtype).removeprefix('torch.')}: give --dtype bfloat16, or leave --optimizer_memory out"
        )
    if hasattr(model.config, "num_experts"):
        raise UsageError(
            "--optimizer_memory compact is not for a network with experts: leave it out, or take a dense one"
        )


class CompactMuon(Muon):
    """`Muon` over compact matrices: momentum in bfloat16, float32 copies of a few matrices at a time."""

    state_bytes = 2

    def __init__(self, exact: Muon, masters, offload: bool):
        super().__init__(exact.param_groups, **exact.defaults, compute_dtype=exact.compute_dtype)
        self._masters = masters
        self._offload = offload
        self.at_once = 1 if self.param_groups[0]["params"][0].device.type == "cpu" else AT_ONCE_ON_A_GPU

    def _update(self, parameters, shape, group):
        inside = [p for p in parameters if p in self._masters]
        if not inside:
            return super()._update(parameters, shape, group)
        values = [self._masters.read(p).view(shape) for p in parameters]
        momenta = [self._buffer(p).to(p.device, torch.float32) for p in parameters]
        self.apply(values, [p.grad.float() for p in parameters], momenta, shape, group)
        for parameter, value, momentum in zip(parameters, values, momenta):
            self._masters.write(parameter, slice(None), value.view(-1))
            self._buffer(parameter).copy_(momentum)

    def _buffer(self, parameter):
        state, offloaded = self.state[parameter], self._offload and parameter in self._masters
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter, device="cpu" if offloaded else None)
        elif offloaded and state["momentum"].device.type != "cpu":  # as torch restores it
            state["momentum"] = state["momentum"].cpu()
        return state["momentum"]


class CompactAdamW(torch.optim.Optimizer):
    """AdamW with decoupled weight decay (https://arxiv.org/abs/1711.05101), its moments in blocks of 8 bits.

    The state of a large matrix: `step`, `m` and `v`, the codes in its shape, `m_scales` and `v_scales`; of any other
    parameter that of `torch.optim.AdamW`.
    """

    state_bytes = 2

    def __init__(self, exact: torch.optim.AdamW, masters, offload: bool):
        super().__init__(exact.param_groups, exact.defaults)
        self._masters = masters
        self._home = "cpu" if offload else None

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, self._state_of(parameter), group)

    def _update(self, parameter, state, group) -> None:
        state["step"] += 1
        step = int(state["step"])
        if parameter not in self._masters:
            return adamw_(parameter, parameter.grad, state["exp_avg"], state["exp_avg_sq"], step, group)
        gradients, device = parameter.grad.view(-1), parameter.device
        for piece in pieces(parameter):
            scales = slice(scales_of(piece.start), scales_of(piece.stop))
            parts = [(state["m"].view(-1), piece), (state["m_scales"], scales)]
            parts += [(state["v"].view(-1), piece), (state["v_scales"], scales)]
            found = [stored[place].to(device) for stored, place in parts]
            values, m, v = self._masters.read(parameter, piece), decode_m(*found[:2]), decode_v(*found[2:])
            adamw_(values, gradients[piece].float(), m, v, step, group)
            self._masters.write(parameter, piece, values)
            chances = thresholds(piece.start, len(m), step, device) / 2**16
            for (stored, place), new in zip(parts, (*encode_m(m, chances), *encode_v(v, 1 - 2**-16 - chances))):
                stored[place] = new.to(stored.device)

    def _state_of(self, parameter) -> dict:
        state = self.state[parameter]
        if not state:
            like = {"device": self._home or parameter.device}
            state["step"] = torch.tensor(0.0)
            if parameter in self._masters:
                state["m"] = torch.zeros(parameter.shape, dtype=torch.int8, **like)
                state["v"] = torch.zeros(parameter.shape, dtype=torch.uint8, **like)
                for name in ("m_scales", "v_scales"):
                    state[name] = torch.zeros(scales_of(parameter.numel()), **like)
            else:
                state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict) -> None:
        """Restores a state of this class, or one of `torch.optim.AdamW`; settings of the groups stay as they are.

        The method of torch would turn codes and scales into numbers of the type of the parameter.
        """
        parameters = [p for group in self.param_groups for p in group["params"]]
        for index, saved in state_dict["state"].items():
            parameter = parameters[index]
            own = self._state_of(parameter)
            own["step"] = saved["step"].detach().clone().float().cpu()
            if "m" in own and "m" not in saved:  # of the exact optimizer
                saved = _codes_of(saved["exp_avg"], saved["exp_avg_sq"], int(own["step"]))
            for name in own.keys() - {"step"}:
                own[name].copy_(saved[name].view(own[name].shape))


def adamw_(values, gradient, m, v, step: int, group: dict) -> None:
    """The arithmetic of AdamW on float32 tensors, in place."""
    (beta1, beta2), rate = group["betas"], group["lr"]
    m.lerp_(gradient, 1 - beta1)
    v.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    denominator = v.sqrt().div_(math.sqrt(1 - beta2**step)).add_(group["eps"])
    values.mul_(1 - rate * group["weight_decay"]).addcdiv_(m, denominator, value=-rate / (1 - beta1**step))


def _codes_of(m: torch.Tensor, v: torch.Tensor, step: int) -> dict:
    chances = thresholds(0, m.numel(), step, m.device) / 2**16
    names = ("m", "m_scales", "v", "v_scales")
    return dict(zip(names, (*encode_m(m.flatten(), chances), *encode_v(v.flatten(), 1 - 2**-16 - chances))))


def exact_state(saved: dict) -> dict:
    """What `CompactAdamW.state_dict` returned, as `torch.optim.AdamW` has it."""

    def expanded(values: dict) -> dict:
        if "m" not in values:
            return values
        m, v = decode_m(values["m"].flatten(), values["m_scales"]), decode_v(values["v"].flatten(), values["v_scales"])
        shape = values["m"].shape
        return {"step": values["step"], "exp_avg": m.view(shape), "exp_avg_sq": v.view(shape)}

    return saved | {"state": {index: expanded(values) for index, values in saved["state"].items()}}
