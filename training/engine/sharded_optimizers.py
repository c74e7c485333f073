"""AdamW and Muon over the pieces of parameters that `training/engine/sharded.py` has spread.

AdamW treats every number by itself, so each process updates its own piece. Muon needs whole matrices: the matrices
are dealt out to the processes in turn. The owner of a matrix collects the pieces of its gradient, keeps its momentum,
orthogonalises, and sends every process its piece of the update. So a process orthogonalises one matrix in N.

Their states are saved and restored as those of the optimizers of one process.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Shard

from training.engine import distributed
from training.engine.muon import AT_ONCE, Muon


class Piece(nn.Parameter):
    """This process's piece of a parameter, in the same memory. `whole`: the parameter, a `DTensor`."""


def piece_of(parameter: nn.Parameter) -> Piece:
    local = parameter.to_local().detach()
    piece = Piece(local, requires_grad=False)
    piece.whole = parameter
    return piece


def rows_of(rank: int, rows: int) -> range:
    """The rows of process `rank`: the first processes have ceil(rows / N), and the last may have none."""
    size = -(-rows // distributed.world_size())
    return range(min(rank * size, rows), min((rank + 1) * size, rows))


def own_rows(whole: Tensor) -> Tensor:
    here = rows_of(distributed.rank(), len(whole))
    return whole[here.start : here.stop]


class ShardedAdamW(torch.optim.AdamW):
    """`torch.optim.AdamW` over pieces. Takes over the groups of `exact`, which has not made a step."""

    def __init__(self, exact: torch.optim.AdamW):
        super().__init__(exact.param_groups, **{name: exact.defaults[name] for name in ("betas", "eps", "fused")})
        self.state_bytes = 8 * distributed.world_size()  # for each number that this process holds

    def state_dict(self) -> dict:
        """The state of the whole parameters, in the main process; elsewhere only shapes. All processes call it."""
        found = super().state_dict()
        pieces = [piece for group in self.param_groups for piece in group["params"]]
        state = {i: {k: _whole(v, pieces[i]) for k, v in values.items()} for i, values in found["state"].items()}
        return found | {"state": state}

    def load_state_dict(self, state_dict: dict) -> None:
        state = {
            index: {name: own_rows(value).clone() if value.dim() else value for name, value in values.items()}
            for index, values in state_dict["state"].items()
        }
        super().load_state_dict(state_dict | {"state": state})


def _whole(value: Tensor, piece: Piece) -> Tensor:
    if value.dim() == 0:
        return value  # the number of steps
    like = piece.whole
    spread = DTensor.from_local(value, like.device_mesh, [Shard(0)], shape=like.shape, stride=like.stride())
    whole = spread.full_tensor()
    return whole.cpu() if distributed.is_main() else whole.to("meta")


class ShardedMuon(Muon):
    """`Muon` whose matrices are dealt out: number i belongs to process i modulo N, which has its momentum."""

    def __init__(self, exact: Muon):
        super().__init__(exact.param_groups, **exact.defaults, compute_dtype=exact.compute_dtype)
        self.state_bytes = 4 * distributed.world_size()
        self._stepped = False

    def _owner(self, index: int) -> int:
        return index % distributed.world_size()

    def _numbered(self) -> list[Piece]:
        return [piece for group in self.param_groups for piece in group["params"]]

    @torch.no_grad()
    def step(self, closure=None):
        owners = {piece: self._owner(index) for index, piece in enumerate(self._numbered())}
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Piece]] = {}
            for piece in group["params"]:
                by_shape.setdefault(piece.whole.shape, []).append(piece)
            for shape, pieces in by_shape.items():
                size = max(1, AT_ONCE * distributed.world_size() // shape.numel())
                for start in range(0, len(pieces), size):
                    self._update_together(pieces[start : start + size], shape, group, owners)
        self._stepped = True

    def _update_together(self, pieces: list[Piece], shape: torch.Size, group: dict, owners: dict) -> None:
        """One step of matrices of one shape."""
        rank, world = distributed.rank(), distributed.world_size()
        dealt = [[piece for piece in pieces if owners[piece] == owner] for owner in range(world)]
        mine, lines = dealt[rank], [rows_of(each, shape[0]) for each in range(world)]
        in_order = [piece for owner in dealt for piece in owner]
        out = [len(owner) * len(lines[rank]) * shape[1] for owner in dealt]  # numbers to send to each process
        back = [len(mine) * len(each) * shape[1] for each in lines]
        gathered = _exchange(torch.cat([piece.grad.flatten() for piece in in_order]), out, back)
        moves = gathered.new_zeros(0)
        if mine:
            parts = [part.view(len(mine), -1, shape[1]) for part in gathered.split(back)]
            gradients = list(torch.cat(parts, dim=1).unbind())
            updates = [torch.zeros_like(gradient) for gradient in gradients]
            # The step of a matrix that is zero is the negative update; its owner has no other part of the matrix.
            plain = group | {"weight_decay": 0.0}
            self.apply(updates, gradients, [self._momentum(piece) for piece in mine], shape, plain)
            stacked = torch.stack(updates)
            moves = torch.cat([stacked[:, each.start : each.stop].flatten() for each in lines])
        moves = _exchange(moves, back, out).split([piece.numel() for piece in in_order])
        torch._foreach_mul_(in_order, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(in_order, [move.view_as(piece) for move, piece in zip(moves, in_order)])

    def _momentum(self, piece: Piece) -> Tensor:
        state = self.state[piece]
        if "momentum" not in state:
            state["momentum"] = torch.zeros(piece.whole.shape, dtype=piece.dtype, device=piece.device)
        return state["momentum"]

    def state_dict(self) -> dict:
        """See `ShardedAdamW.state_dict`."""
        state = {}
        for index, piece in enumerate(self._numbered() if self._stepped else []):
            owner = self._owner(index)
            momentum = (
                self._momentum(piece)
                if owner == distributed.rank()
                else torch.empty(piece.whole.shape, dtype=piece.dtype, device=piece.device)
            )
            dist.broadcast(momentum, owner)
            state[index] = {"momentum": momentum.cpu() if distributed.is_main() else momentum.to("meta")}
        return super().state_dict() | {"state": state}

    def load_state_dict(self, state_dict: dict) -> None:
        rank, saved = distributed.rank(), state_dict["state"]
        own = {i: {"momentum": each["momentum"].clone()} for i, each in saved.items() if self._owner(i) == rank}
        super().load_state_dict(state_dict | {"state": own})
        self._stepped = bool(saved)


def _exchange(numbers: Tensor, out: list[int], back: list[int]) -> Tensor:
    """Sends `out` numbers to each process, and returns what all send to this one, in the order of ranks."""
    found = numbers.new_empty(sum(back))
    dist.all_to_all_single(found, numbers.contiguous(), back, out)
    return found
