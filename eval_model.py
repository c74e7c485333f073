"""Try a model: let it continue a text, or measure how well it predicts one.

    python eval_model.py --model_mode 0                                  # asks for a text, again and again
    python eval_model.py --model_mode 0 --prompt "Once upon a time" --temperature 0.7 --seed 1
    python eval_model.py --data_path my_text.jsonl --json                # loss, perplexity, bits per byte

A pretrained model has read texts and knows nothing else: it goes on writing whatever you begin. Each next
token is drawn from  softmax(logits / temperature),  cut down to the most probable ones by --top_k, --top_p
and --min_p.

Text goes to standard output, everything else to standard error. Outside a terminal, or with --prompt or
--auto_test, it answers and ends, and never asks. In a terminal, Ctrl-C stops a text and Ctrl-D ends.
"""

import contextlib
import io
import json
import math
import sys
import time
from pathlib import Path

from model.errors import SproutError, UsageError
from training.arguments import (
    SIZE_FLAGS,
    StageParser,
    count,
    fraction,
    nonnegative,
    positive,
    positive_int,
    run_main,
    size_overrides,
)

WEIGHT_NAMES = ("pretrain", "full_sft", "dpo", "reason")  # of each --model_mode

CHINESE_PROMPTS = ("从前，有一个小女孩", "人工智能是", "今天天气很好，", "中国的首都是")
ENGLISH_PROMPTS = (
    "Once upon a time, there was",
    "The capital of France is",
    "Water boils when",
    "I think that",
)


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    group = parser.add_argument_group("what to do")
    modes = ", ".join(f"{mode} {name}" for mode, name in enumerate(WEIGHT_NAMES))
    group.add_argument("--model_mode", type=int, choices=range(4), default=0, help=f"{modes} (%(default)s)")
    what = group.add_mutually_exclusive_group()
    what.add_argument("--prompt", action="append", metavar="TEXT", help="a text to go on from (repeatable)")
    what.add_argument("--auto_test", action="store_true", help="built-in prompts in Chinese and English")
    what.add_argument("--data_path", metavar="FILE", help="score a text: .jsonl, .jsonl.gz, .parquet, .txt")
    group.add_argument("--json", action="store_true", help="with --data_path: the result as a line of JSON")
    group.add_argument("--max_seq_len", type=positive_int, help="longer texts are scored in parts (512)")
    group.add_argument("--batch_size", type=positive_int, default=16, help="rows scored at once (%(default)s)")

    group = parser.add_argument_group("weight")
    group.add_argument("--out_dir", default="out", help="where weights are (%(default)s)")
    group.add_argument("--weight", metavar="NAME", help="its name there (default: that of --model_mode)")
    group.add_argument("--weight_path", metavar="FILE|FOLDER", help="a .pth or an HF folder instead")
    group.add_argument("--tokenizer_path", metavar="FOLDER", help="default: the weight's own")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    group.add_argument("--dtype", choices=("auto", "float32", "bfloat16", "float16"), default="auto")
    for name in SIZE_FLAGS:
        group.add_argument(f"--{name}", type=positive_int, metavar="N")

    group = parser.add_argument_group("sampling")
    group.add_argument("--max_new_tokens", type=positive_int, default=256, help="default %(default)s")
    group.add_argument("--temperature", type=nonnegative, default=0.8, help="0: greedy (%(default)s)")
    group.add_argument("--top_k", type=count, default=0, help="the K most probable; 0: all (%(default)s)")
    group.add_argument("--top_p", type=positive, default=0.9, help="the first P of probability (%(default)s)")
    group.add_argument("--min_p", type=fraction, default=0.0, help="from this share of the first on (%(default)s)")
    group.add_argument("--repetition_penalty", type=positive, default=1.0, help="1: none (%(default)s)")
    group.add_argument("--seed", type=count, help="gives the same text again (default: a new one each time)")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_arguments(argv)
    if args.json and not args.data_path:
        raise UsageError("--json is for --data_path, which is not given")
    if args.model_mode != 0 and not args.data_path:
        raise UsageError(
            f"--model_mode {args.model_mode} will chat once fine-tuning is built; so far there is"
            " --model_mode 0, which continues a text, and --data_path, which scores one"
        )

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from model.checkpoint import load_model
    from model.sampling import Sampling
    from training.device import choose_device

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a model may write what the terminal's encoding has no sign for
    device = choose_device(args.device, args.dtype)
    how = Sampling(args.temperature, args.top_k, args.top_p, args.min_p, args.repetition_penalty)
    loaded = load_model(
        find_weight(args),
        tokenizer_path=args.tokenizer_path,
        overrides=size_overrides(args),
        device=device.device,
    )
    say(f"{loaded.source} ({loaded.stage}), {loaded.model.config.num_parameters() / 1e6:.3f} M parameters")
    if args.data_path:
        score(args, loaded, device)
    else:
        write(args, loaded, device, how, begin=beginning_of_document)


def find_weight(args) -> Path:
    """The weight that the flags name; the newest where --model_mode or --weight fits several sizes."""
    from training.starting_point import weights_called

    if args.weight_path:
        return Path(args.weight_path)
    folder, name = Path(args.out_dir), args.weight or WEIGHT_NAMES[args.model_mode]
    if args.hidden_size:
        return folder / f"{name}_{args.hidden_size}.pth"
    found = weights_called(name, args.out_dir)
    if len(found) > 1:
        say(f"{len(found)} sizes of {name} are in {folder}; this is the newest (or choose by --hidden_size)")
    return found[0]


def score(args, loaded, device) -> None:
    """Prints how well the network predicts the documents of a file."""
    from training.evaluation import evaluate_file

    result, documents = evaluate_file(
        loaded.model,
        loaded.tokenizer,
        args.data_path,
        max_seq_len=args.max_seq_len or min(512, loaded.model.config.max_position_embeddings),
        batch_size=args.batch_size,
        device=device.device,
        autocast=device.autocast,
    )
    if not math.isfinite(result.nats):
        raise SproutError(f"the loss on {args.data_path} is not a number: {loaded.source} is damaged or diverged")
    numbers = {
        "loss": result.loss,
        "perplexity": result.perplexity,
        "bits_per_byte": result.bits_per_byte,
        "tokens": result.targets,
        "bytes": result.bytes,
        "documents": documents,
    }
    if args.json:
        print(json.dumps(numbers | {"weight": loaded.source, "file": args.data_path}, ensure_ascii=False))
    else:
        print("  ".join(f"{k} {v:,}" if isinstance(v, int) else f"{k} {v:.4f}" for k, v in numbers.items()))


def write(args, loaded, device, how, begin) -> None:
    """Answers the prompts, or in a terminal those typed; `begin` turns one into the tokens to go on from."""
    import torch

    from model.generation import TextStream, new_generator, prepare_for_decoding, stream

    model, tokenizer = loaded.model, loaded.tokenizer
    # One token at a time, a CPU is hardly faster in bfloat16, and float32 is exact.
    exact = args.dtype == "auto" and device.device.type == "cpu"
    # A residual stream may outgrow float16, so there only products are computed in it, as in training.
    products = device.autocast if device.dtype == torch.float16 else contextlib.nullcontext
    prepare_for_decoding(model, device.dtype if device.dtype == torch.bfloat16 and not exact else torch.float32)

    def answer(prompt: str) -> None:
        """Prints the prompt and, as it comes, what follows; then the speed."""
        print(prompt, end="", flush=True)
        text, length, started = TextStream(tokenizer.decode), 0, time.perf_counter()
        tokens = stream(
            model,
            begin(tokenizer, prompt),
            max_new_tokens=args.max_new_tokens,
            sampling=how,
            # <|endoftext|>, which pads as well, is what imported Qwen models end a document with.
            eos_ids={tokenizer.eos_id, tokenizer.pad_id},
            generator=new_generator(device.device, args.seed),
        )
        with products():
            for token in tokens:
                length += 1
                print(text.push(token), end="", flush=True)
        print(text.finish(), end="\n\n", flush=True)
        seconds = time.perf_counter() - started
        say(f"[{length} tokens in {seconds:.1f} s, {length / seconds:.1f} tokens/s]")

    if args.prompt or args.auto_test or not in_terminal():
        for prompt in args.prompt or CHINESE_PROMPTS + ENGLISH_PROMPTS:
            answer(prompt)
        return
    for prompt in typed_prompts():
        try:
            answer(prompt)
        except KeyboardInterrupt:
            print("\n", flush=True)
        except SproutError as error:  # a prompt too long, say: the next may be shorter
            print(flush=True)
            say(f"error: {error}")


def beginning_of_document(tokenizer, text: str) -> list[int]:
    """--model_mode 0 goes on from a text as pretraining saw it."""
    return [tokenizer.bos_id, *tokenizer.encode(text)]


def typed_prompts():
    """Yields what is typed, line by line; Ctrl-D ends, Ctrl-C begins a new line."""
    with contextlib.suppress(ImportError):  # not on Windows
        import readline  # noqa: F401  input() then edits its line, Chinese characters too
    say("Begin a text and press Enter; Ctrl-C stops the answer, Ctrl-D ends.")
    while True:
        try:
            yield input("> ")
        except KeyboardInterrupt:
            print()
        except EOFError:
            print()
            return


def in_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run_main(main)
