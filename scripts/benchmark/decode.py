"""Speed of decoding: greedy tokens a second of ours and of transformers' `generate`, for one prompt and for many.

Every side has a process of its own, and they take turns, so that a machine that slows down affects all of them. All use
the same random weights of the preset 26m and the same prompts, and no text ends early. With `--against FOLDER`, another
checkout of ours is a side too: this file runs there as it stands, so it uses only what every version has.
"""

import functools
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRESET, PROMPT_LENGTH, NEW_TOKENS = "26m", 16, 200
OURS, PEER, PEER_STATIC, AGAINST = "ours", "transformers", "transformers, static cache", "against"


def measure(device: str, dtype: str, batch_size: int, prompt_length: int, new_tokens: int) -> float:
    """Tokens a second, of all rows together, that our engine writes after prompts of `prompt_length`, prefill included.

    device: as torch spells it, "cuda" say. dtype: "float32" or "bfloat16". A first run of the same size warms up.
    """
    write = writer(OURS, device, dtype)
    write([[3] * prompt_length] * batch_size, new_tokens)
    return _timed(write, device, batch_size, prompt_length, new_tokens)["tokens_per_second"]


def _timed(write, device: str, batch_size: int, prompt_length: int, new_tokens: int) -> dict:
    import torch

    prompts = torch.randint(3, 6400, (batch_size, prompt_length), generator=torch.Generator().manual_seed(0)).tolist()
    # The time of one thread at work is the same however busy the machine is.
    alone = device == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    started = clock()
    answers = write(prompts, new_tokens)  # lists of numbers: no device is still at work
    seconds = clock() - started
    assert all(len(answer) == new_tokens for answer in answers)
    return {"tokens_per_second": batch_size * new_tokens / seconds, "first_tokens": [each[:16] for each in answers]}


@functools.lru_cache(maxsize=1)
def writer(side: str, device: str, dtype: str):
    """A function from prompts and a number of tokens to the answers, as lists of ids."""
    import torch

    network = _network()
    if side in (OURS, AGAINST):
        from model.generation import generate_batch
        from model.sampling import GREEDY

        try:
            from inference.writer import prepare_for_decoding
        except ImportError:  # where older versions have it
            from model.generation import prepare_for_decoding
        network.to(device)
        prepare_for_decoding(network, getattr(torch, dtype))
        return lambda prompts, count: generate_batch(network, prompts, max_new_tokens=count, sampling=GREEDY)
    return _transformers_writer(network, device, dtype, side == PEER_STATIC)


def _network():
    """The preset, with every weight drawn at random: as initialised, some are zero, and all texts alike."""
    import torch

    from model.config import PRESETS
    from model.transformer import Transformer

    network = Transformer(PRESETS[PRESET], initialize_weights=False)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 2:
                parameter.normal_(std=parameter.shape[1] ** -0.5, generator=generator)
            else:
                parameter.fill_(1.0)
    return network


def _transformers_writer(network, device: str, dtype: str, static: bool):
    import torch
    import transformers

    ours = network.config.to_dict()
    names = """vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads
        max_position_embeddings rms_norm_eps tie_word_embeddings rope_theta pad_token_id"""
    config = transformers.LlamaConfig(**{name: ours[name] for name in names.split()})
    theirs = transformers.LlamaForCausalLM(config)
    theirs.load_state_dict(network.state_dict())
    theirs.to(device=device, dtype=getattr(torch, dtype)).eval()
    settings = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    if static:
        settings["cache_implementation"] = "static"

    def write(prompts, count):
        tokens = torch.tensor(prompts, device=device)
        with torch.inference_mode():
            written = theirs.generate(
                tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=count, min_new_tokens=count, **settings
            )
        return written[:, tokens.shape[1] :].tolist()

    return write


class Side:
    """A process that decodes as one of the sides does."""

    def __init__(self, name: str, folder: Path, device: str, threads: int | None):
        command = [sys.executable, "-P", str(Path(__file__).resolve()), name, device, str(threads or "")]
        environment = {**os.environ, "PYTHONPATH": str(folder.resolve()), "TRANSFORMERS_VERBOSITY": "error"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, cwd=folder, env=environment, **pipes)

    def run(self, *case) -> dict | None:
        """What `_timed` found; None if this side cannot do it."""
        try:
            self._process.stdin.write(json.dumps(case) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            return None
        return json.loads(line) if line else None

    def end(self):
        self._process.stdin.close()
        self._process.wait()


def compare(args) -> None:
    """Prints for every size and precision what each side reaches (the median of the rounds), and the ratios of ours."""
    from model.device import choose_device

    device = choose_device(args.device, "auto")
    on_cuda, name = device.device.type == "cuda", str(device.device)
    folders = {OURS: ROOT, PEER: ROOT}
    if on_cuda:
        folders[PEER_STATIC] = ROOT
    if args.against:
        folders[AGAINST] = Path(args.against)
    sides = {side: Side(side, folder, name, args.threads) for side, folder in folders.items()}
    where = _described(device.device, args.threads)
    print(f"{PRESET} on {where}; tokens a second, the median of {args.rounds} rounds (range)")
    try:
        for dtype in ("float32", *(("bfloat16",) if "bfloat16" in str(device.dtype) else ())):
            for batch_size in (1, 64, 256) if on_cuda else (1, 64):
                _compare_one(sides, args.rounds, dtype, batch_size)
    finally:
        for side in sides.values():
            side.end()


def _compare_one(sides: dict[str, Side], rounds: int, dtype: str, batch_size: int) -> None:
    found: dict[str, list[dict]] = {side: [] for side in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            if (result := side.run(dtype, batch_size, PROMPT_LENGTH, NEW_TOKENS)) is not None:
                found[name].append(result)
    speeds = {name: [one["tokens_per_second"] for one in results] for name, results in found.items()}
    print(f"{dtype}, batch {batch_size}")
    for name, each in speeds.items():
        if not each:
            print(f"  {name:<28} failed")
            continue
        ratio = statistics.median(a / b for a, b in zip(speeds[OURS], each)) if speeds[OURS] else float("nan")
        agree = statistics.mean(
            a == b for a, b in zip(found[OURS][0]["first_tokens"], found[name][0]["first_tokens"], strict=True)
        )
        words = "" if name == OURS else f"  ours is {ratio:.2f}x; first tokens alike in {agree:.0%} of the rows"
        print(
            f"  {name:<28} {statistics.median(each):>10,.1f} ({min(each):,.1f} to {max(each):,.1f}){words}", flush=True
        )


def _described(device, threads: int | None) -> str:
    import torch

    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    threads = threads or torch.get_num_threads()
    clock = "processor time" if threads == 1 else "wall time"
    return f"{device.type}, threads: {threads}, {clock}, torch {torch.__version__}"


def work(side: str, device: str, threads: str) -> None:
    """The process of a side: reads cases from standard input, one a line, and answers each with a line."""
    if side == OURS:
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as eval_model.py does
    import torch

    warm = None

    if threads:
        torch.set_num_threads(int(threads))
    for line in sys.stdin:
        dtype, batch_size, prompt_length, new_tokens = json.loads(line)
        write = writer(side, device, dtype)
        if line != warm:
            write([[3] * prompt_length] * batch_size, new_tokens if device != "cpu" else 8)
            warm = line
        print(json.dumps(_timed(write, device, batch_size, prompt_length, new_tokens)), flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 2 or {"-h", "--help"} & set(sys.argv):
        sys.exit(print(__doc__.strip()))  # earlier checkouts run this file, so it imports nothing of this one
    work(*sys.argv[1:])
