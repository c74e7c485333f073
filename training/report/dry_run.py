"""What `--dry_run` has found out, in words."""

from training.report.description import duration


def result_of(step, plan, machine) -> str:
    """From the last step that was taken: `training.engine.step.Step`, `plan.Plan` and `machine.Machine`."""
    peak, seconds = machine.peak_memory() / 2**30, step.metrics["time/seconds"]
    return (
        f"dry run: one step took {seconds:.1f} s at a peak of {peak:.2f} GB,"
        f" so the run of {plan.steps} steps takes about {duration(seconds * plan.steps)};"
        " nothing was written but the token cache"
    )
