"""`--histograms`: distributions of weights and gradients, for TensorBoard."""

from training.report.metrics import Events


def write_histograms(events: Events, model, step: int) -> None:
    """Distributions of all weights and gradients, for TensorBoard."""
    for name, parameter in model.named_parameters():
        events.histogram(f"weights/{name}", parameter.detach().float().cpu(), step)
        # As they were applied, clipped; those of a skipped step are not numbers.
        if parameter.grad is not None and parameter.grad.isfinite().all():
            events.histogram(f"gradients/{name}", parameter.grad.float().cpu(), step)
    events.flush()
