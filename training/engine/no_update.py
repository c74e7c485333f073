"""What a step says whose update was not applied."""


def note(step, name: str, result, line: dict) -> None:
    """Warns about the update of the network `name`, and adds what was skipped to the step's `line` of metrics."""
    updaters, say = step._updaters, step._machine.say
    if result.still and updaters[name].still == 1:
        say(f"warning: the gradient of step {step.number} is only rounding: such steps update nothing")
    if result.skipped:
        line["skipped"] = result.skipped
        line["skipped_steps"] = sum(sum(each.skipped.values()) for each in updaters.values())
        where = f"rows {step.places.start} to {step.places.stop - 1} of epoch {step.epoch}"
        what = "loss or gradient" if name == "model" else f"loss or gradient of the {name}"
        say(f"warning: step {step.number} skipped, {result.skipped} {what} ({where})")
