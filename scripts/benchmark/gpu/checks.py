"""How long a validation and samples take in the midst of training: prints one line of JSON.

    python -m scripts.benchmark.gpu.checks --preset 26m --data_path FILE ...

Runs train_pretrain.py with these flags and measures its calls. The time of one is the median, without the first where
there are more; their share is that of the time from the first update to the last line.
"""

import json
import runpy
import time
from statistics import median

from scripts.benchmark.program import run_program


def main(flags: list[str]) -> dict:
    """Seconds of a `validation`, of `samples` and of all steps, how many there were, and their `share` of the time."""
    import torch

    from training.engine.step import Step
    from training.stages import checks

    seconds, began = {"validation": [], "samples": []}, []

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
        began.append(time.perf_counter())

    checks.validate = measured(checks.validate, "validation")
    checks.continue_prompts = measured(checks.continue_prompts, "samples")
    Step.update = update_and_note
    runpy.run_path("train_pretrain.py")["main"](flags)
    whole = time.perf_counter() - began[0]
    found = {kind: median(each[1:] or each) for kind, each in seconds.items()}
    found |= {"validations": len(seconds["validation"]), "times": len(seconds["samples"]), "seconds": whole}
    return found | {"share": sum(map(sum, seconds.values())) / whole}


if __name__ == "__main__":
    run_program(__doc__, lambda *flags: print(json.dumps(main(list(flags)))))
