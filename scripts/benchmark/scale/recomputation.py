"""What each grade of activation checkpointing takes: the time of a step, and the bytes of all tensors in it.

Times are real steps with AdamW on the CPU; the grades take turns in one process, and their ratios are printed. Bytes
are the peak in the second micro-batch of a step, counted on tensors without contents (PyTorch's `FakeTensorMode`),
beside what the plan says of weights, lower halves, gradients and activations.
`--rehearse` takes the preset `tiny` with rows of 64.
"""

import statistics
import time

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from model.config import PRESETS
from model.recomputation import CHEAP, LAYERS
from model.transformer import Transformer
from scripts.benchmark.program import run_program
from scripts.benchmark.scale.steps import learner, step
from scripts.benchmark.scale.tensors import LiveBytes
from training.engine.memory import Footprint
from training.losses.next_token import next_token_loss

GRADES = (False, CHEAP, LAYERS)
TIMED = (("26m", 8, 512), ("104m", 4, 512))  # preset, rows, tokens of a row
COUNTED = (*((*case, False) for case in TIMED), ("1b", 1, 1024, True))  # and whether optimizers are compact
REHEARSED = ("tiny", 1, 64)


def compare(args) -> None:
    """Prints bytes, then times."""
    print("\n| preset | rows | grade | GiB, measured | GiB, by the plan |\n|---|---|---|---|---|", flush=True)
    for preset, rows, length, compact in [(*REHEARSED, False)] if args.rehearse else COUNTED:
        for grade in GRADES:
            found = counted(PRESETS[preset], rows, length, compact, grade) / 2**30
            said = planned(PRESETS[preset], rows, length, compact, grade) / 2**30
            print(f"| {preset} | {rows} x {length} | {grade or 'none'} | {found:.2f} | {said:.2f} |", flush=True)
    for preset, rows, length in [REHEARSED] if args.rehearse else TIMED:
        ratios = timed(PRESETS[preset], rows, length, args.rounds)
        words = ", ".join(f"{grade} {ratio:.3f}" for grade, ratio in ratios.items())
        print(f"{preset}, {rows} x {length}: time of a step, of one without: {words}", flush=True)


def counted(config, rows: int, length: int, compact: bool, grade) -> int:
    """The peak of the bytes of all tensors in the second micro-batch of a step, before the optimizer works."""
    with torch.device("meta"):
        model = Transformer(config, initialize_weights=False)
    with FakeTensorMode(allow_non_fake_inputs=True):
        fill(model)
        model.recomputes_layers = grade
        tokens = torch.zeros(rows, length + 1, dtype=torch.int64)
        with WithoutContents(rows * length, *model.parameters()) as live:
            updater = learner(model, "adamw", compact, 1e-3, rows * length)
            for _ in range(2):
                live.peak = live.now
                with torch.autocast("cpu", torch.bfloat16):
                    loss, _ = loss_of(model, tokens)
                (loss * updater.factor).backward()
                del loss
    return live.peak


class WithoutContents(LiveBytes):
    """Also answers what a program asks of a tensor: the loss asks how many tokens are trained, which are all."""

    def __init__(self, count: int, *tensors):
        super().__init__(*tensors)
        self._count = count

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._local_scalar_dense.default:
            return self._count
        return super().__torch_dispatch__(function, types, args, kwargs)


def fill(model) -> None:
    """Puts fake tensors in place of those on the device `meta`, in a `FakeTensorMode`."""
    made = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and parameter not in made:  # a tied head is the embedding
                made[parameter] = torch.nn.Parameter(torch.empty(parameter.shape, device="cpu"))
            module._parameters[name] = made.get(parameter)
    model.rotary_frequencies = torch.empty(model.rotary_frequencies.shape, device="cpu")


def planned(config, rows: int, length: int, compact: bool, grade) -> int:
    """What the plan says of it for a CPU, without the program, and without moments, which the first step makes."""
    settings = {"keeps_attention": True, "compact": compact}
    footprint = Footprint(config, length, "adamw", config.num_parameters(), 2, **settings)
    return footprint.total(rows, grade) - footprint.parts(rows, grade)["optimizer"]


def timed(config, rows: int, length: int, rounds: int) -> dict[str, float]:
    """By grade the time of a step in seconds of the processor, divided by that without: the median of all rounds."""
    torch.manual_seed(0)
    tokens = torch.randint(3, config.vocab_size, (rows, length + 1))
    model = Transformer(config)
    updater, ratios = learner(model, "adamw", False, 1e-3, rows * length), {CHEAP: [], LAYERS: []}
    for number in range(rounds + 1):  # the first warms up
        seconds = {}
        for grade in GRADES:
            model.recomputes_layers = grade
            started = time.process_time()
            step(updater, lambda batch: loss_of(model, batch), [tokens])
            seconds[grade] = time.process_time() - started
        for grade in ratios if number else ():
            ratios[grade].append(seconds[grade] / seconds[False])
    return {grade: statistics.median(found) for grade, found in ratios.items()}


def loss_of(model, tokens):
    targets = tokens[:, 1:]
    return next_token_loss(model.features(tokens[:, :-1]), model.lm_head.weight, targets), targets.numel()


if __name__ == "__main__":
    run_program(__doc__)
