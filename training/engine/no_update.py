"""What a step says whose update was not applied."""


def note(step, name: str, result, line: dict) -> None:
    """Warns about the update of the network `name`, and adds what was skipped to the step's `line` of metrics."""
    updaters, say = step._updaters, step._machine.say
    of_what = "" if name == "model" else f" of the {name}"
    if result.no_gradient and updaters[name].without_gradient == 1:
        found = "only rounding" if result.grad_norm else "0"
        say(f"warning: the gradient{of_what} in step {step.number} is {found}: such updates change nothing")
    if result.skipped:
        line["skipped"] = result.skipped
        line["skipped_steps"] = sum(sum(each.skipped.values()) for each in updaters.values())
        where = f"rows {step.places.start} to {step.places.stop - 1} of epoch {step.epoch}"
        say(f"warning: step {step.number} skipped, {result.skipped} loss or gradient{of_what} ({where})")
