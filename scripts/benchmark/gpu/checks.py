"""How long a validation and samples take in the midst of training: prints one line of JSON.

    python -m scripts.benchmark.gpu.checks --preset 26m --max_steps 60 --eval_interval 10 --sample_interval 20 ...

Runs train_pretrain.py with these flags and measures its calls; the first of each is left out where there are more.
"""

import json
import runpy
import time
from statistics import median

from scripts.benchmark.program import run_program


def main(flags: list[str]) -> dict:
    """Seconds of a `validation`, of `samples`, and of a `step`."""
    import torch

    from training.engine.step import Step
    from training.stages import checks

    seconds = {"validation": [], "samples": [], "step": []}

    def measured(function, kind):
        def call(*args, **named):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            started = time.perf_counter()
            found = function(*args, **named)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[kind].append(time.perf_counter() - started)
            return found

        return call

    update = Step.update

    def update_and_note(step):
        update(step)
        seconds["step"].append(step.metrics["time"]["seconds"])

    checks.validate = measured(checks.validate, "validation")
    checks.continue_prompts = measured(checks.continue_prompts, "samples")
    Step.update = update_and_note
    runpy.run_path("train_pretrain.py")["main"](flags)
    return {kind: median(found[1:] or found) for kind, found in seconds.items()}


if __name__ == "__main__":
    run_program(__doc__, lambda *flags: print(json.dumps(main(list(flags)))))
