"""Pairs for train_dpo.py from a network's own answers: a better and a worse one of several to each prompt.

    python scripts/make_pairs.py --data_path my_prompts.jsonl --reward exact --save_file out/pairs.jsonl
    python scripts/make_pairs.py --data_path my_prompts.jsonl --reward model:out/reward_512.pth \\
        --save_file out/pairs.jsonl

The network answers each prompt --group_size times, and the rewards of train_grpo.py rate the answers. Where they
differ, the best and the worst answer become a pair. An answer that --max_new_tokens cut off is in no pair, and neither
is a blank one. Pairs are written as they are found: a run that was killed goes on with --resume, to the same pairs.
"""

import math
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout as it stands

from dataset.command_line import count, positive_int, run_main
from inference.arguments import above_zero, add_weight_arguments, refuse_scale_of_nothing
from inference.growing_file import GrowingFile, refuse_taken
from inference.terminal import say
from model.errors import SproutError, UsageError
from training.stages.arguments import StageParser

ANSWERS_AT_ONCE = 512  # as in rollouts: more at a time are no faster, and their keys and values take memory


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    group = parser.add_argument_group("what to make pairs of")
    group.add_argument("--data_path", required=True, metavar="FILE", help="prompts, as for train_grpo.py")
    group.add_argument("--format", metavar="NAME", help="of the file (docs/chat_data.md)")
    group.add_argument(
        "--reward",
        nargs="+",
        action="extend",
        metavar="NAME[:WEIGHT]",
        help="exact, format, ..., or file.py:function[:weight] (docs/rewards.md; default exact)",
    )
    group.add_argument("--save_file", required=True, metavar="FILE", help="where to write the pairs, as JSON lines")
    group.add_argument(
        "--group_size", type=positive_int, default=8, metavar="G", help="answers to a prompt (%(default)s)"
    )
    group.add_argument("--pairs_per_prompt", type=positive_int, default=1, metavar="N", help="at most (%(default)s)")
    group.add_argument("--temperature", type=above_zero, default=1.0, metavar="X", help="of sampling (%(default)g)")
    group.add_argument(
        "--max_new_tokens", type=positive_int, default=128, metavar="N", help="of an answer (%(default)s)"
    )
    group.add_argument("--seed", type=count, default=42, metavar="N", help="of the sampling (%(default)s)")
    group.add_argument("--resume", action="store_true", help="go on with a run that was interrupted")
    group = add_weight_arguments(parser, default="full_sft")
    group.add_argument("--hidden_size", type=positive_int, metavar="N", help="where a name fits several sizes")
    args = parser.parse_args(argv)
    refuse_contradictions(args)
    return args


def refuse_contradictions(args) -> None:
    """Raises `UsageError` for flags that mean nothing together."""
    if args.group_size < 2:
        raise UsageError("--group_size 1 compares an answer with no other, so there is no pair: give 2 or more")
    if args.group_size > ANSWERS_AT_ONCE:
        raise UsageError(f"--group_size {args.group_size} is more than the {ANSWERS_AT_ONCE} answers of a batch")
    if 2 * args.pairs_per_prompt > args.group_size:
        raise UsageError(
            f"--pairs_per_prompt {args.pairs_per_prompt} takes {2 * args.pairs_per_prompt} answers, and --group_size is"
            f" {args.group_size}: give a larger one"
        )
    refuse_scale_of_nothing(args)
    refuse_taken("--save_file", args.save_file, args.resume)


def main(argv=None) -> None:
    args = parse_arguments(argv)

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from dataset.records.kinds import only
    from dataset.records.prompts import PROMPT_OR_CHAT
    from dataset.records.reading import check_file
    from inference.weights import open_network
    from model.device import choose_device
    from training.rewards.loading import load_rewards
    from training.stages.paired_answers import Answering

    # What can be wrong about the files is said before the network is read.
    check_file(args.data_path)
    kind = only(PROMPT_OR_CHAT, args.format)
    device = choose_device(args.device, args.dtype)
    loaded = open_network(args, "full_sft", device, {}, say)
    rewards = load_rewards(args.reward or ["exact"], tokenizer=loaded.tokenizer, device=device, say=say)
    answering = Answering(args, loaded, device, rewards)
    with GrowingFile(args.save_file, identity(args, answering, rewards), args.resume) as file:
        if file.done:
            say(f"going on after {file.done:,} prompts, which gave {file.records:,} pairs")
        try:
            make_pairs(args, kind, answering, file)
        finally:
            report(args, file)
    if not file.records:
        raise SproutError(f"there is no pair, since {why_none(file.counts)}")
    say_next(args, loaded.source)


def identity(args, answering, rewards) -> dict:
    """What --resume has to find unchanged, in words that messages can use."""
    import hashlib

    from dataset.records.reading import files_of

    digest = hashlib.sha256()
    for path in files_of(args.data_path):
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    names = "format", "group_size", "pairs_per_prompt", "temperature", "max_new_tokens", "seed", "dtype", "lora_scale"
    return {f"--{name}": getattr(args, name) for name in names} | {
        "--data_path": digest.hexdigest(),
        "--reward": [reward.identity for reward in rewards],
        "network": answering.identity,
    }


def make_pairs(args, kind, answering, file: GrowingFile) -> None:
    """Adds the pairs of all prompts that `file` has not dealt with, as records."""
    from dataset.records.measured import at_line, parts_of
    from training.rewards.pairs import pairs_of
    from training.stages.paired_answers import record_of_pair

    at_once = ANSWERS_AT_ONCE // args.group_size
    seen = 0
    for documents, show in parts_of(args.data_path, kind, "answering"):
        seen += len(documents)
        if seen <= file.done:
            continue
        prompts = [at_line(args.data_path, document, answering.asked) for document in documents]
        # A reward may ask for a column that some records have, whether those of a batch are among them or not.
        columns = list(dict.fromkeys(name for prompt in prompts for name in prompt.columns))
        for start in range(file.done - (seen - len(prompts)), len(prompts), at_once):
            some = prompts[start : start + at_once]
            fitting = [prompt for prompt in some if len(prompt.ids) <= answering.room]
            counts, records = Counter(prompts=len(some), too_long=len(some) - len(fitting)), []
            for prompt, texts, values in answering.groups(fitting, columns, file.done):
                found = pairs_of(values, args.pairs_per_prompt)
                few = sum(not math.isnan(value) for value in values) < 2
                counts.update(too_few=few, equal=not found and not few)
                records += [record_of_pair(prompt, texts, values, *pair) for pair in found]
            file.add(records, len(some), counts)
            show(min(1.0, (start + at_once) / len(prompts)))


def report(args, file: GrowingFile) -> None:
    """Says what became of the prompts, if any were answered."""
    counts = file.counts
    if not counts["prompts"]:
        return
    say(
        f"{file.records:,} pairs from {counts['prompts']:,} prompts with {args.group_size} answers each; of the"
        f" prompts, {counts['equal']:,} have answers of equal rewards, {counts['too_few']:,} fewer than two different"
        f" whole answers with a reward, and {counts['too_long']:,} are too long"
    )


def why_none(counts: Counter) -> str:
    """The most frequent reason, and what helps."""
    reasons = {
        "equal": "the answers to a prompt have equal rewards: take prompts that the network answers right sometimes, a"
        " higher --temperature or a larger --group_size",
        "too_few": "hardly a prompt has two different whole answers with a reward: give a larger --max_new_tokens, a"
        " higher --temperature, or a --reward that rates them",
        "too_long": "the prompts are too long for the network's positions: give a smaller --max_new_tokens",
    }
    return reasons[max(reasons, key=lambda name: counts[name])]


def say_next(args, source: str) -> None:
    """The commands that train on the pairs."""
    from training.report.going_on import command_of

    here = Path.cwd()
    if args.lora:
        scale = () if args.lora_scale is None else ("--lora_scale", args.lora_scale)
        flags = ("--lora", args.lora, *scale, "--weight_name", "merged", "--out_dir", args.out_dir)
        say(f"first make the adapters a part of the network: {command_of('scripts/merge_lora.py', *flags, here=here)}")
    start = ("--from_weight", "merged", "--out_dir", args.out_dir) if args.lora else ("--from_weight", source)
    if args.tokenizer_path:
        start += ("--tokenizer_path", args.tokenizer_path)
    say(f"train on them: {command_of('train_dpo.py', *start, '--data_path', args.save_file, here=here)}")


if __name__ == "__main__":
    run_main(main)
