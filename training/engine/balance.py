"""Experts that are chosen equally often: the auxiliary loss of a network with experts (https://arxiv.org/abs/2101.03961).

    auxiliary loss = E sum_e f_e P_e, the mean over the layers        k at balance, up to E where k experts get all
    f_e: tokens that choose expert e, divided by all tokens           (no gradient: choosing has none)
    P_e: the mean probability that the router gives expert e          (here is the gradient)

A step minimises its loss + router_aux_loss_coef * auxiliary loss. This is `load_balancing_loss_func` of transformers,
layer by layer: transformers takes the counts of all layers together, and then layers that lean to different experts
look balanced.

f and P are those of the whole step, of all its micro-batches and processes: to ask for balance within a few rows would
keep experts from specialising (https://arxiv.org/abs/2501.11873). The gradient for the probability p_te of token t,

    router_aux_loss_coef E f_e / (tokens of the step),

needs f before the first micro-batch has its backward pass, when no one knows it yet. So f is that of the update before.
It is one constant for all micro-batches and processes, hence the sum of their gradients is the gradient of the whole
step, in whatever parts it is computed. Between two updates f hardly changes. The first update of a run begins with
f_e = k / E, whose gradient is zero since the probabilities of a token sum to one.

The gradient is added where it arises, in the backward pass of the probabilities: so every loss has the term, the
lines of a stage script stay as they are, and what is printed as the loss is comparable with that of a dense network.
The same pass counts, as the gradient of a tensor of zeros: once for each position, even where checkpointing computes a
layer twice, and never in validation. What fills a row up is not counted.
"""

import torch
from torch import Tensor

from training.engine import distributed


class Balance:
    """The auxiliary loss of one network, and what is measured of its experts.

    Attribute: `weights` [layers, E], by which the next update multiplies the probabilities, for --resume.
    """

    def __init__(self, network):
        config, device = network.config, network.model.embed_tokens.weight.device
        layers = [layer.mlp for layer in network.model.layers if any(p.requires_grad for p in layer.parameters())]
        self._chosen, self._experts = config.num_experts_per_tok, config.num_experts
        self._coefficient = config.router_aux_loss_coef / max(1, len(layers))
        self.weights = torch.zeros(len(layers), self._experts, device=device)
        self._next: Tensor | None = None  # the weights that `press` puts in their place
        self._pressure = torch.zeros_like(self.weights)
        self._tallies = [torch.zeros(3, self._experts, device=device, requires_grad=True) for _ in layers]
        for experts, tally, pressure in zip(layers, self._tallies, self._pressure):
            experts.balance = _OfOneLayer(tally, pressure)
        for layer in network.model.layers:
            if layer.mlp.balance is not None:
                layer.register_forward_pre_hook(layer.mlp.balance.look)

    def count(self, count: int | Tensor, measures) -> None:
        """Ends an update of `count` things, as `Updater.backward` counted them; does not wait for the device.

        The weights stay those of this update until `press`: another process may be lost before the update is made.
        measures: the `training.engine.update.Measures` of the update; None: nothing is noted.
        """
        if not self._tallies:
            return
        found = [torch.zeros_like(tally) if tally.grad is None else tally.grad for tally in self._tallies]
        flat = torch.stack(found).flatten()
        self.forget()
        flat = distributed.sum_over_processes(torch.cat([flat, flat.new_zeros(1) + count]))
        chosen, probability, entropy = flat[:-1].view(len(found), 3, self._experts).unbind(1)  # each [layers, E]
        tokens = chosen.sum(1, keepdim=True) / self._chosen
        any_token = tokens[0, 0] > 0
        f, p = chosen / tokens, probability / tokens
        # The updater divides the sum of all gradients by the count of the step, and this term by its tokens.
        self._next = torch.where(any_token, self._coefficient * self._experts * f * (flat[-1] / tokens), self.weights)
        if measures is None:
            return
        values = {
            "aux_loss": self._experts * (f * p).sum(1).mean(),
            "load_max": f.max() * self._experts / self._chosen,  # of the fullest expert, in means
            "router_entropy": (entropy / tokens).sum(1).mean(),  # of the probabilities of a token, in nats
            "dead": (chosen == 0).sum().float(),  # experts of all layers that no token chose
        }
        measured = {f"experts/{name}": torch.where(any_token, value, 0.0) for name, value in values.items()}
        measures.add(any_token.float(), **measured)

    def forget(self) -> None:
        """Forgets what was counted since the last update. The counts keep their memory, as a recorded pass knows it."""
        for tally in self._tallies:
            if tally.grad is not None:
                tally.grad.zero_()

    def press(self, factor: float) -> None:
        """Makes the weights hold from here on. factor: what the updater multiplies a loss by."""
        if self._next is not None:
            self.weights, self._next = self._next, None
        torch.mul(self.weights, factor, out=self._pressure)


class _OfOneLayer:
    """What the experts of a layer call with their probabilities and choices.

    The layer shows what it is about to read, in the repetition of checkpointing as well.
    """

    def __init__(self, tally: Tensor, pressure: Tensor):
        self._tally = tally
        self._pressure = pressure
        self._has_text: Tensor | None = None  # bool [N]

    def look(self, layer, arguments) -> None:
        """Before the layer: its arguments are hidden states [B, T, D], rotary tables, and others."""
        x, (_, sine), *_ = arguments
        self._has_text = has_text(sine[:, 0]).expand(x.shape[:2]).flatten()

    def __call__(self, probabilities: Tensor, experts: Tensor) -> Tensor:
        return _Pressed.apply(self._tally, self._pressure, probabilities, experts, self._has_text)


def has_text(sine: Tensor) -> Tensor:
    """Which positions of rows belong to a text, bool [B, T], by the sine [B, T, h] of their angles.

    What fills a row up are documents of one token: at position 0, as the next one is; at the end, as the one before.
    """
    inside = sine.any(-1)  # not at position 0
    return inside | torch.cat((inside[:, 1:], inside[:, -2:][:, :1]), dim=1)


class _Pressed(torch.autograd.Function):
    """Passes probabilities [N, E] on; their gradient gets `pressure` [E] in addition where there is text, bool [N].

    tally: [3, E], zeros, whose gradient counts. experts: those that each token chose, [N, k].
    """

    @staticmethod
    def forward(ctx, tally: Tensor, pressure: Tensor, probabilities: Tensor, experts: Tensor, text: Tensor) -> Tensor:
        chosen = torch.zeros_like(probabilities).scatter_(-1, experts, 1.0)
        each = torch.stack([chosen, probabilities, torch.special.entr(probabilities)]) * text[:, None]  # [3, N, E]
        ctx.save_for_backward(pressure, each.sum(1).float(), text)
        return probabilities.view_as(probabilities)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        pressure, found, text = ctx.saved_tensors
        return found, None, gradient + pressure.to(gradient.dtype) * text[:, None], None, None
