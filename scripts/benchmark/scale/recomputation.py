"""What each grade of activation checkpointing takes: the time of a step, and the bytes of all tensors in it.

Times are real steps with AdamW on the CPU; the grades take turns in one process, and their ratios are printed. Bytes
are the peak in the second step of tensors without contents (PyTorch's `FakeTensorMode`), beside what the plan says.
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
    """The peak of the bytes of all tensors in the second step."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = without_contents(config)
        model.recomputes_layers = grade
        tokens = torch.zeros(rows, length + 1, dtype=torch.int64)
        with LiveBytes(*model.parameters()) as live:
            updater = learner(model, "adamw", compact, 1e-3, rows * length)
            for _ in range(2):
                live.peak = live.now
                updater.begin()
                with torch.autocast("cpu", torch.bfloat16):
                    loss, _ = loss_of(model, tokens)
                updater.backward(loss, rows * length)
                for optimizer in updater.optimizers:  # the guard would read numbers, of which there are none
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
    return live.peak


def without_contents(config) -> Transformer:
    """A network of fake tensors, made in a `FakeTensorMode`."""
    with torch.device("meta"):
        model = Transformer(config, initialize_weights=False)
    made = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:  # a tied head is the embedding
                if parameter not in made:
                    made[parameter] = torch.nn.Parameter(torch.empty(parameter.shape, device="cpu"))
                module._parameters[name] = made[parameter]
    model.rotary_frequencies = torch.empty(config.head_dim // 2)
    return model


def planned(config, rows: int, length: int, compact: bool, grade) -> int:
    """What the plan says of it for a CPU, without the program itself."""
    settings = {"keeps_attention": True, "compact": compact}
    return Footprint(config, length, "adamw", config.num_parameters(), 2, **settings).total(rows, grade)


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
