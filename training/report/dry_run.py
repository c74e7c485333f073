"""What `--dry_run` has found out, in words."""

from training.report.description import duration


def result_of(step, first: int, plan, machine) -> str:
    """From the last step that was taken (`training.engine.step.Step`), None if none was left to take.

    first: the number of steps that the run had made before; plan: `plan.Plan`; machine: `machine.Machine`.
    """
    if step is None:
        return "dry run: no step was taken; nothing was written but the token cache"
    peak, seconds = machine.peak_memory() / 2**30, step.metrics["time/seconds"]
    if first:
        left = plan.steps - first
        return (
            f"dry run: one step took {seconds:.1f} s at a peak of {peak:.2f} GB,"
            f" so the {left} steps that are left take about {duration(seconds * left)};"
            " nothing was written but the token cache"
        )
    return (
        f"dry run: one step took {seconds:.1f} s at a peak of {peak:.2f} GB,"
        f" so the run of {plan.steps} steps takes about {duration(seconds * plan.steps)};"
        " nothing was written but the token cache"
    )
