"""A warning before training, where a file is passed over so often that it may be learned by heart. Few runs load it."""

from training.report.description import MANY_PASSES


def warnings_about_passes(plan, rows) -> list[str]:
    """A warning for each file, or for all together where they share rows, that `plan` passes over very often.

    rows: `dataset.rows.rows.Rows`. What helps: fewer epochs, or a smaller weight of a file that is mixed in.
    """
    warnings, epochs = [], plan.steps / plan.steps_per_epoch
    for part, passes in enumerate(epochs * rows.passes):
        if passes > MANY_PASSES:
            alone = len(rows.passes) == 1
            what = " and ".join(str(cache.source) for cache in rows.caches) if alone else str(rows.caches[part].source)
            fewer = max(1, int(epochs * MANY_PASSES / passes))
            helps = f"give --epochs {fewer} or fewer" if alone else "give it a smaller weight, or fewer --epochs"
            warnings.append(
                f"this run passes {passes:,.0f} times over {what}: what is read more than some {MANY_PASSES} times may"
                f" be learned by heart; if the validation loss turns up, {helps}, or more text"
            )
    return warnings
