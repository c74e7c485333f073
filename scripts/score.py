"""Score answers with a reward model: how good each is, as one number; the larger the better.

    python scripts/score.py --prompt "What is the capital of France?" --answer "Paris." --answer "Go away."
    python scripts/score.py --data_path my_preferences.jsonl         # in how many pairs the chosen answer scores higher
    python scripts/score.py --data_path my_chats.jsonl --save_scores out/scored.jsonl    # each record and its reward

A file holds pairs or ranked choices, scored answers, or conversations, whose last answer is scored. Compare only the
rewards of answers to the same prompt: the better answer has the larger reward. --save_scores writes what is scored part
by part: a run that was killed goes on with --resume.
"""

import sys
from collections import Counter
from contextlib import nullcontext
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout as it stands

from dataset.command_line import positive_int
from inference.arguments import add_device_arguments
from inference.growing_file import GrowingFile, refuse_taken
from inference.terminal import figures_in_words, say
from model.errors import SproutError, UsageError, on_one_line
from model.json_text import json_text
from training.stages.arguments import StageParser, run_main


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    group = parser.add_argument_group("what to score")
    what = group.add_mutually_exclusive_group(required=True)
    what.add_argument("--prompt", metavar="TEXT", help="what was asked; its answers by --answer")
    what.add_argument("--data_path", metavar="FILE", help="pairs, scored answers, chats: JSON lines, parquet, ...")
    group.add_argument("--answer", action="append", metavar="TEXT", help="with --prompt (repeatable)")
    group.add_argument("--system", metavar="TEXT", help="with --prompt: the system message before it")
    group.add_argument("--by", metavar="KEY", help="with --data_path: also figures for each value of this key")
    group.add_argument("--save_scores", metavar="FILE", help="with --data_path: writes the records with rewards, JSONL")
    group.add_argument("--resume", action="store_true", help="with --save_scores: go on with an interrupted run")
    group.add_argument("--json", action="store_true", help="print lines of JSON")

    group = parser.add_argument_group("weight")
    group.add_argument("--out_dir", default="out", help="where weights are (%(default)s)")
    either = group.add_mutually_exclusive_group()
    either.add_argument("--weight", metavar="NAME|FILE|FOLDER", help="its name there, a .pth, or an HF folder (reward)")
    either.add_argument("--weight_path", metavar="FILE|FOLDER", help="the same as --weight with a path")
    group.add_argument("--lora", metavar="NAME|FILE", help="adapters that train_reward.py --lora wrote, instead")
    group.add_argument("--from_weight", metavar="NAME|FILE|FOLDER", help="with --lora: their network, if it was moved")
    group.add_argument("--tokenizer_path", metavar="FOLDER", help="with --lora: as in training, if it was given there")
    group.add_argument("--hidden_size", type=positive_int, metavar="N", help="where a name fits several sizes")
    group.add_argument("--max_seq_len", type=positive_int, metavar="N", help="longest conversation (all positions)")
    group.add_argument("--batch_size", type=positive_int, default=16, help="conversations at once (%(default)s)")
    add_device_arguments(group)
    args = parser.parse_args(argv)
    refuse_contradictions(args)
    return args


def refuse_contradictions(args) -> None:
    """Raises `UsageError` for flags that mean nothing together."""
    if args.prompt is not None and not args.answer:
        raise UsageError("--prompt is scored with its answers: give --answer")
    for flag in ("answer", "system"):
        if getattr(args, flag) and args.prompt is None:
            raise UsageError(f"--{flag} is for --prompt, which is not given")
    for flag in ("by", "save_scores"):
        if getattr(args, flag) and args.data_path is None:
            raise UsageError(f"--{flag} is for --data_path, which is not given")
    for flag in ("weight", "weight_path"):
        if args.lora and getattr(args, flag):
            raise UsageError(
                f"--{flag} is a whole reward model, --lora adapters with a head: give one of them (the network of"
                " adapters is named by --from_weight)"
            )
    if args.tokenizer_path and not args.lora:
        raise UsageError("--tokenizer_path is for --lora, which is not given: a whole reward model brings its own")
    if args.save_scores is not None:
        refuse_taken("--save_scores", args.save_scores, args.resume)
    elif args.resume:
        raise UsageError("--resume goes on with the file of --save_scores, which is not given")
    if args.from_weight and not args.lora:
        raise UsageError("--from_weight is the network of --lora, which is not given: name a reward model by --weight")


def main(argv=None) -> None:
    args = parse_arguments(argv)

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from dataset.records.reading import check_file
    from dataset.rendering import ChatRenderer
    from inference.scoring import score_conversations
    from inference.weights import positions_read
    from model.device import choose_device

    if args.data_path:
        check_file(args.data_path)  # before the network is read
    device = choose_device(args.device, args.dtype)
    if device.device.type == "cuda":
        from model.gpu import attend_to_any_length

        attend_to_any_length()
    loaded = open_reward(args, device.device)
    say(f"{loaded.source} ({loaded.stage}), {sum(p.numel() for p in loaded.model.parameters()) / 1e6:.3f} M parameters")
    positions = positions_read(loaded.model.config, args.max_seq_len)
    renderer = ChatRenderer(loaded.tokenizer)
    score = partial(
        score_conversations,
        loaded.model,
        renderer,
        max_seq_len=positions,
        batch_size=args.batch_size,
        autocast=device.autocast,
    )
    if args.prompt is not None:
        score_answers(args, score)
    else:
        score_file(args, score, renderer, loaded)


def saving(args, renderer, loaded):
    """The file of --save_scores as a context, or None where there is none to write.

    Its identity is what --resume has to find unchanged, in words that messages can use; the records themselves are
    compared one by one.
    """
    if not args.save_scores:
        return nullcontext()
    from model.fingerprint import identity_of

    network = identity_of(loaded.model, loaded.tokenizer, renderer.variant)
    identity = {"reward model": network, "--max_seq_len": args.max_seq_len, "--dtype": args.dtype}
    return GrowingFile(args.save_scores, identity, args.resume, "--save_scores")


def open_reward(args, device):
    """The reward model that the flags name: a whole network, or adapters on one."""
    from inference.weights import find_adapters, find_weight, network_of
    from model.files.reward import load_reward, load_reward_adapters

    if not args.lora:
        source = args.weight_path or args.weight or "reward"
        return load_reward(find_weight(source, args.out_dir, args.hidden_size), device=device)
    adapters = find_adapters(args.lora, args.out_dir, args.hidden_size)
    network = args.from_weight or network_of(adapters, "--from_weight", args.out_dir)
    network = find_weight(network, args.out_dir, args.hidden_size)
    return load_reward_adapters(adapters, network, tokenizer_path=args.tokenizer_path, device=device)


def score_answers(args, score) -> None:
    """Prints the reward of each --answer."""
    from dataset.records.conversations import from_completion
    from dataset.records.formats import BadRecord

    fields = {"prompt": args.prompt} | ({"system": args.system} if args.system else {})
    try:
        conversations = [from_completion(fields | {"completion": answer}) for answer in args.answer]
    except BadRecord as error:
        raise UsageError(f"this cannot be scored: {error}") from error
    for answer, reward in zip(args.answer, score(conversations), strict=True):
        if reward is None:
            raise SproutError("the conversation is longer than --max_seq_len or the positions of the network")
        if args.json:
            print(json_text({"prompt": args.prompt, "answer": answer, "reward": reward}))
        else:
            print(f"{reward:+.4f}  {answer}")


def score_file(args, score, renderer, loaded) -> None:
    """Prints how well the rewards agree with a file, and writes them if asked to."""
    from dataset.records.measured import kind_of_file
    from dataset.records.reading import read_records
    from inference.scoring import SCORED_KINDS, Agreement, score_records, with_rewards

    kind, _ = kind_of_file(args.data_path, tuple(SCORED_KINDS))
    if args.by and not any(args.by.lower() in getattr(one, "fields", ()) for one in read_records(args.data_path)):
        raise UsageError(f"--by {args.by} is a key that no record of {args.data_path} has: give another")
    whole, parts = Agreement(kind.name), {}
    with saving(args, renderer, loaded) as file:
        earlier, seen = file.earlier() if file else (), 0
        for part in score_records(args.data_path, kind, score, renderer.spans, earlier):
            for document, found in part:
                whole.add(document, found)
                if args.by:
                    value = on_one_line(str(document.fields.get(args.by.lower())))
                    parts.setdefault(value, Agreement(kind.name)).add(document, found)
            if file and (new := part[max(0, file.done - seen) :]):
                file.add([with_rewards(*each) for each in new], len(new), Counter())
            seen += len(part)
        if file and not whole.count:
            file.forget()  # no record has a reward
    if not whole.count:
        raise SproutError(f"every record of {args.data_path} is too long: give a larger --max_seq_len")
    figures = whole.figures()
    by = {value: each.figures() for value, each in sorted(parts.items())}
    if args.json:
        more = {"by": {args.by: by}} if args.by else {}
        of_what = {"weight": loaded.source, "file": args.data_path}
        print(json_text({"kind": kind.name, **figures, **more, **of_what}, ensure_ascii=True))
        return
    for value, each in by.items():
        print(f"{args.by} {value}: {figures_in_words(each)}")
    print(figures_in_words(figures))


if __name__ == "__main__":
    run_main(main)
