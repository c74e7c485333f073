"""`--histograms`: distributions of weights and gradients, for TensorBoard."""

from torch.utils.tensorboard import summary

from training.report.metrics import Events


def write_histograms(events: Events, model, step: int) -> None:
    """Distributions of all weights and gradients, for TensorBoard."""

    def add(name: str, values) -> None:
        events.add(step=step, summary=summary.histogram(name, values.detach().float().cpu().numpy(), bins=64))

    for name, parameter in model.named_parameters():
        add(f"weights/{name}", parameter)
        # As they were applied, clipped; those of a skipped step are not numbers.
        if parameter.grad is not None and parameter.grad.isfinite().all():
            add(f"gradients/{name}", parameter.grad)
    events.flush()
