"""Pairs for train_dpo.py from a network's own answers: a better and a worse one of several to each prompt.

    python scripts/make_pairs.py --data_path my_prompts.jsonl --reward exact --save_file out/pairs.jsonl
    python scripts/make_pairs.py --data_path my_prompts.jsonl --reward model:out/reward_512.pth --save_file out/pairs.jsonl

The network answers each prompt --group_size times, and the rewards of train_grpo.py rate the answers. Where they
differ, the best and the worst answer become a pair. An answer that --max_new_tokens cut off is in no pair. Pairs are
written as they are found, so what is there stays there if the script is interrupted.
"""

import json
import math
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout as it stands

from dataset.command_line import count, positive, positive_int, run_main
from inference.arguments import add_weight_arguments, refuse_existing
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
    group.add_argument("--group_size", type=positive_int, default=8, metavar="G", help="answers to a prompt (8)")
    group.add_argument("--pairs_per_prompt", type=positive_int, default=1, metavar="N", help="at most (%(default)s)")
    group.add_argument("--temperature", type=positive, default=1.0, metavar="X", help="of sampling (%(default)g)")
    group.add_argument("--max_new_tokens", type=positive_int, default=128, metavar="N", help="of an answer (128)")
    group.add_argument("--seed", type=count, default=42, metavar="N", help="of the sampling (%(default)s)")
    group = add_weight_arguments(parser, default="full_sft")
    group.add_argument("--hidden_size", type=positive_int, metavar="N", help="where a name fits several sizes")
    args = parser.parse_args(argv)
    refuse_contradictions(args)
    return args


def refuse_contradictions(args) -> None:
    """Raises `UsageError` for flags that mean nothing together."""
    if args.group_size < 2:
        raise UsageError("--group_size 1 compares an answer with no other, so there is no pair: give 2 or more")
    if 2 * args.pairs_per_prompt > args.group_size:
        raise UsageError(
            f"--pairs_per_prompt {args.pairs_per_prompt} takes {2 * args.pairs_per_prompt} answers, and --group_size is"
            f" {args.group_size}: give a larger one"
        )
    if args.lora_scale is not None and not args.lora:
        raise UsageError("--lora_scale is for --lora, which is not given")
    refuse_existing("--save_file", args.save_file)


def main(argv=None) -> None:
    args = parse_arguments(argv)

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from dataset.records.reading import check_file
    from inference.weights import open_network
    from model.device import choose_device
    from training.report.going_on import command_of
    from training.rewards.loading import load_rewards

    check_file(args.data_path)  # before the network is read
    device = choose_device(args.device, args.dtype)
    loaded = open_network(args, "full_sft", device, {}, say)
    rewards = load_rewards(args.reward or ["exact"], tokenizer=loaded.tokenizer, device=device, say=say)
    counts = Counter()
    path = Path(args.save_file)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "x", encoding="utf-8") as file:
        try:
            for pair in pairs(args, loaded, device, rewards, counts):
                file.write(json.dumps(pair, ensure_ascii=False) + "\n")
                file.flush()
        finally:
            report(args, counts)
            if not counts["pairs"]:
                path.unlink()
    if not counts["pairs"]:
        raise SproutError(
            "no prompt has two whole answers whose rewards differ, so there is no pair: take prompts that the network"
            " answers right sometimes, a higher --temperature or a larger --group_size"
        )
    learn = ["train_dpo.py", "--from_weight", loaded.source, "--data_path", args.save_file]
    merged = " a network into which scripts/merge_lora.py merged the adapters:" if args.lora else ""
    say(f"train on them:{merged} {command_of(*learn, here=Path.cwd())}")


def pairs(args, loaded, device, rewards, counts: Counter) -> Iterator[dict]:
    """The pairs of all prompts as records. counts: what becomes of prompts and answers."""
    from dataset.records.kinds import only
    from dataset.records.measured import parts_of
    from dataset.records.prompts import PROMPT_OR_CHAT
    from dataset.rendering import ChatRenderer
    from training.rewards.pairs import pairs_of

    renderer = ChatRenderer(loaded.tokenizer)
    answering = Answering(args, loaded, device, renderer, rewards)
    kind = only(PROMPT_OR_CHAT, args.format)
    at_once = max(1, ANSWERS_AT_ONCE // args.group_size)
    for documents, show in parts_of(args.data_path, kind, "answering"):
        for start in range(0, len(documents), at_once):
            prompts = [asked(document.content, renderer) for document in documents[start : start + at_once]]
            fitting = [prompt for prompt in prompts if len(prompt.ids) <= answering.room]
            counts.update(prompts=len(prompts), too_long=len(prompts) - len(fitting))
            for prompt, texts, values in answering.groups(fitting):
                found = pairs_of(values, args.pairs_per_prompt)
                counts.update(pairs=len(found), equal=not found, cut_off=sum(text is None for text in texts))
                yield from (record(prompt, texts, values, *pair) for pair in found)
            show(min(1.0, (start + at_once) / len(documents)))


def asked(prompt, renderer):
    """A prompt of a file with its ids, as the rewards take it."""
    from dataset.cache.prompts import StoredPrompt

    messages, tools = [dict(message) for message in prompt.conversation.messages], list(prompt.conversation.tools)
    return StoredPrompt(renderer.prompt(messages, tools), messages, tools, prompt.columns)


class Answering:
    """Samples and rates groups of answers. room: the most tokens that a prompt may have."""

    def __init__(self, args, loaded, device, renderer, rewards):
        from inference.writer import ready_to_generate
        from model.generation import new_generator

        self._args, self._model, self._renderer, self._rewards = args, loaded.model, renderer, rewards
        self._precision = ready_to_generate(loaded.model, device, args.dtype)
        self._generator = new_generator(device.device, args.seed)
        self.room = loaded.model.config.max_position_embeddings - args.max_new_tokens

    def groups(self, prompts: list) -> Iterator[tuple]:
        """Each prompt, the texts of its answers, None for one that was cut off, and their rewards, NaN for such."""
        from inference.tools.turns import converse
        from model.sampling import Sampling
        from training.losses.advantages import weighted_sum
        from training.stages.groups import rewards_of

        size, tokenizer = self._args.group_size, self._renderer.tokenizer
        every = [prompt for prompt in prompts for _ in range(size)]
        with self._precision():
            answers = converse(
                self._model,
                [prompt.ids for prompt in every],
                self._renderer,
                None,
                max_new_tokens=self._args.max_new_tokens,
                sampling=Sampling(temperature=self._args.temperature),
                generator=self._generator,
            )
        rated = rewards_of(self._rewards, every, answers, self._args, tokenizer)
        total = weighted_sum(rated, [reward.weight for reward in self._rewards]).tolist()
        texts = [tokenizer.decode(one.last_turn[:-1]) if one.ended else None for one in answers]
        values = [math.nan if text is None else value for text, value in zip(texts, total, strict=True)]
        for place, prompt in enumerate(prompts):
            own = slice(place * size, (place + 1) * size)
            yield prompt, texts[own], values[own]


def record(prompt, texts: list[str], values: list[float], better: int, worse: int) -> dict:
    """A pair as train_dpo.py reads it; the prompt's own columns, such as its skill, come last."""
    messages = prompt.messages
    alone = len(messages) == 1 and messages[0]["role"] == "user"
    found = {"prompt": messages[0]["content"] if alone else messages, "chosen": texts[better]}
    found |= {"rejected": texts[worse], "chosen_reward": values[better], "rejected_reward": values[worse]}
    if prompt.tools:
        found["tools"] = prompt.tools
    return found | {name: value for name, value in prompt.columns.items() if name not in found}


def report(args, counts: Counter) -> None:
    """Says what became of the prompts, if any were answered."""
    if not counts["prompts"]:
        return
    say(
        f"{counts['pairs']:,} pairs from {counts['prompts']:,} prompts with {args.group_size} answers each;"
        f" {counts['equal']:,} prompts whose answers have equal rewards, {counts['too_long']:,} too long,"
        f" {counts['cut_off']:,} answers cut off by --max_new_tokens"
    )


if __name__ == "__main__":
    run_main(main)
