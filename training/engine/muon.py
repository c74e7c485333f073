"""Muon: SGD with momentum that replaces each update by the nearest orthogonal matrix.

Keller Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon/). A gradient matrix of a network usually
has a few large singular values; Muon sets them all to one, so that rare directions learn as fast as common
ones. It serves the matrices of the blocks only, each expert's by itself; AdamW updates embeddings, head, norms, biases.
"""

import torch

# Coefficients of the quintic X <- aX + bX(X'X) + cX(X'X)^2, chosen by Jordan so that five steps bring every
# singular value from (0.01, 1] into about [0.7, 1.2], which serves as well as exactly one.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
TALL = 1.5  # rows for each column, from which on products of X'X are less work than products of X
AT_ONCE = 2**26  # numbers: a batch and its temporary copies take up to 256 MB each in float32


def orthogonalize(matrices: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """The nearest semi-orthogonal matrix U V' of each matrix U S V', roughly: see NEWTON_SCHULZ.

    matrices: [..., rows, columns]; the result has their shape and type, and is computed in that type. bfloat16 is
    precise enough. Zero stays zero.
    """
    a, b, c = NEWTON_SCHULZ
    x = matrices.flatten(0, -3)
    wide = x.shape[1] < x.shape[2]
    if wide:
        x = x.mT.contiguous()  # X'X, of the size of the shorter side, is fastest for a tall X that lies row by row
    x = x / (torch.linalg.matrix_norm(x.float(), keepdim=True) + 1e-7).to(x.dtype)
    if x.shape[1] >= TALL * x.shape[2] and x.dtype == torch.float32 and x.device.type == "cpu":
        x = x @ _product_of_steps(x.mT @ x, steps)  # this takes more products of X'X, and a single one of X
    else:
        for _ in range(steps):
            gram = x.mT @ x
            polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
            x = torch.baddbmm(x, x, polynomial, beta=a)
    return (x.mT if wide else x).reshape(matrices.shape)


def _product_of_steps(gram: torch.Tensor, steps: int) -> torch.Tensor:
    """What all steps multiply X by: polynomials of X'X, which commute. With the digits of bfloat16, or of a GPU's TF32,
    small singular values would be lost in X'X, and the product be wrong."""
    a, b, c = NEWTON_SCHULZ
    product = None
    for step in range(steps):
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        polynomial.diagonal(dim1=1, dim2=2).add_(a)
        product = polynomial if product is None else product @ polynomial
        if step + 1 < steps:
            gram = polynomial @ gram @ polynomial
    return product


def update_matrices(parameters, gradients, buffers, momentum: float, keep: float, rate: float, dtype) -> None:
    """One step of matrices of one shape, in place: each becomes `keep` times itself minus `rate` times its update."""
    torch._foreach_lerp_(buffers, gradients, 1 - momentum)
    nesterov = torch._foreach_lerp(gradients, buffers, momentum)
    updates = orthogonalize(torch.stack(nesterov).to(dtype))
    torch._foreach_mul_(parameters, keep)
    torch._foreach_add_(parameters, [update.float() for update in updates.unbind()], alpha=-rate)


class Muon(torch.optim.Optimizer):
    """SGD with Nesterov momentum and orthogonalised updates; decoupled weight decay.

    The learning rate is multiplied by sqrt(max(1, rows / columns)), so that tall and wide matrices change the output
    of their layer by about the same amount. Matrices of one shape are processed as batches of up to `AT_ONCE` numbers.

    compute_dtype: the type of the orthogonalisation. bfloat16 amplifies last-digit differences of float32 sums (as
    from another order of micro-batches) to about 1e-4 of the loss; float32 to no more than 2e-6.
    """

    at_once, state_bytes = None, 4  # numbers in a batch, AT_ONCE unless set; bytes of the state for a parameter

    def __init__(
        self,
        params,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        compute_dtype: torch.dtype = torch.bfloat16,
    ):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.compute_dtype, self.arithmetic = compute_dtype, update_matrices

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[torch.Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in by_shape.items():
                size = max(1, (self.at_once or AT_ONCE) // shape.numel())
                for start in range(0, len(parameters), size):
                    self._update(parameters[start : start + size], shape, group)

    def _update(self, parameters, shape, group):
        gradients, buffers = [p.grad for p in parameters], [self._buffer(p) for p in parameters]
        self.apply(parameters, gradients, buffers, shape, group)

    def apply(self, parameters, gradients, buffers, shape, group) -> None:
        """One step of tensors of one shape, in place."""
        rate = group["lr"] * max(1.0, shape[-2] / shape[-1]) ** 0.5
        keep = 1 - group["lr"] * group["weight_decay"]
        self.arithmetic(parameters, gradients, buffers, group["momentum"], keep, rate, self.compute_dtype)

    def _buffer(self, parameter):
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        return state["momentum"]
