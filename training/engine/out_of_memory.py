"""What to do when the GPU's memory is used up, in one sentence."""

from model.errors import SproutError


def error_about(error: Exception, plan) -> SproutError:
    """plan: that of the run, or None before it is made."""
    flags = ["--fit GB chooses a micro-batch for the memory there is"]
    if plan is not None and plan.batch_size > 1:
        half = max(part for part in range(1, plan.batch_size // 2 + 1) if plan.batch_size % part == 0)
        times = plan.accumulation_steps * plan.batch_size // half
        flags.append(f"--batch_size {half} --accumulation_steps {times} takes the same step in smaller parts")
    if plan is None or not plan.activation_checkpointing:
        flags.append("--activation_checkpointing keeps less of each part")
    reason = next(iter(str(error).splitlines()), "") or "no reason is given"
    return SproutError(
        f"the GPU's memory is used up ({reason}): {', '.join(flags)}; the last checkpoint is intact, and --resume"
        " --allow_changed goes on from it"
    )
