"""The loss of one or several networks by how far into a long text they have read: a table, a picture and a JSON.

    python scripts/loss_by_position.py --weight_path out/pretrain_512.pth --data_path long.jsonl --max_seq_len 2048
    python scripts/loss_by_position.py --weight_path pretrain longer --data_path long.jsonl --rope_scaling_factor 4

Only documents of at least --max_seq_len tokens count, so every position is measured on the same texts. A network may
read beyond the length that it was trained on, to show what happens there. With --rope_scaling_factor, each network that
is not extended yet is measured a second time, extended by YaRN and not trained. See docs/long_texts.md.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout as it stands

from dataset.command_line import positive, positive_int
from inference.arguments import add_device_arguments
from inference.replaced import has_keys, refuse_strangers
from model.errors import UsageError, counted
from model.json_text import json_text
from training.stages.arguments import StageParser, run_main


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    names = {"nargs": "+", "required": True, "metavar": "NAME|FILE|FOLDER"}
    parser.add_argument("--weight_path", "--weight", **names, help="the networks")
    parser.add_argument("--data_path", required=True, metavar="FILE", help="long texts: JSON lines, plain text, ...")
    parser.add_argument("--max_seq_len", type=positive_int, default=2048, help="tokens of each text (%(default)s)")
    parser.add_argument(
        "--documents", type=positive_int, default=100, metavar="N", help="at most so many (%(default)s)"
    )
    parser.add_argument(
        "--rope_scaling_factor", type=positive, metavar="X", help="also extended X times by YaRN, without training"
    )
    parser.add_argument("--batch_size", type=positive_int, help="texts at once (as many as have 8,192 tokens)")
    parser.add_argument("--out_dir", default="out", help="where weights are looked for by name (%(default)s)")
    parser.add_argument(
        "--save_file", metavar="FILE.png", default="out/loss_by_position.png", help="picture (%(default)s)"
    )
    add_device_arguments(parser)
    args = parser.parse_args(argv)
    refuse_contradictions(args)
    return args


def refuse_contradictions(args) -> None:
    """Raises `UsageError` for flags that mean nothing together, or would replace what is no result of this script."""
    picture = Path(args.save_file)
    if picture.suffix not in (".png", ".svg"):
        raise UsageError(f"--save_file {picture} is the picture: let its name end in .png or .svg")
    data = picture.with_suffix(".json")
    for taken in (args.data_path, *args.weight_path):
        if {Path(taken).resolve()} & {picture.resolve(), data.resolve()}:
            raise UsageError(f"--save_file {picture} would replace {taken} ({data} is written, too): give another name")
    if picture.is_dir():
        raise UsageError(f"--save_file {picture} is a folder: name a file in it")
    is_ours = has_keys(data, "file", "documents", "positions", "networks")
    for path in (data, picture):  # a picture is known by the figures beside it
        refuse_strangers("--save_file", path, is_ours, "a result of scripts/loss_by_position.py")
    if len(set(args.weight_path)) < len(args.weight_path):
        raise UsageError("--weight_path names a weight twice: name it once")
    if args.rope_scaling_factor is not None and args.rope_scaling_factor <= 1:
        raise UsageError(f"--rope_scaling_factor {args.rope_scaling_factor:g} extends nothing: give more than 1")


def main(argv=None):
    args = parse_arguments(argv)

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from dataset.records.reading import check_file
    from inference.positions import buckets, long_texts, loss_by_position, mean_by_bucket
    from inference.weights import find_weight, name_of
    from model.device import choose_device
    from model.disk import sweep_temporaries, write_atomically
    from model.files.loading import load_model
    from model.files.writable import refuse_unwritable
    from training.report.positions import draw

    picture = Path(args.save_file)
    data = picture.with_suffix(".json")
    check_file(args.data_path)
    refuse_unwritable(picture.parent, "--save_file")
    device = choose_device(args.device, args.dtype)
    paths = [find_weight(source, args.out_dir, chosen_by="a path", say=print) for source in args.weight_path]
    texts = long_texts(args.data_path, tokenizer_of_all(paths), args.max_seq_len, args.documents)
    found_in = f"{len(texts.rows):,} documents of at least {args.max_seq_len:,} tokens"
    passed = f"on the way to the last of them, passed over {texts.shorter:,} documents as too short"
    print(counted(f"{found_in}; {passed}"))
    found = {}
    for path in paths:
        loaded = load_model(path)
        for name, network in networks_of(loaded, args.rope_scaling_factor, args.max_seq_len):
            losses = loss_by_position(network.to(device.device), texts.rows, device, args.batch_size)
            name = name if name not in found else f"{path}{name.removeprefix(name_of(path))}"
            found[name] = {"weight": path, "known": known_positions(loaded), "loss": mean_by_bucket(losses)}

    ranges = buckets(args.max_seq_len)
    content = {"file": args.data_path, "documents": len(texts.rows), "positions": ranges, "networks": found}
    text = json_text(content, indent=1) + "\n"
    sweep_temporaries(data.parent)
    write_atomically(data, lambda file: file.write(text.encode("utf-8")))
    draw(found, ranges, picture)
    print("\n".join(table(found, ranges)))
    print(f"wrote {picture} and {data}")


def tokenizer_of_all(paths: list):
    """The tokenizer that all weights have. Raises `UsageError` if they differ; no network is opened to find out."""
    from model.files.tokenizer_of import tokenizer_of_weight  # not before the arguments, as above
    from model.text.vocabulary import same_ids

    tokenizer = tokenizer_of_weight(paths[0])
    for path in paths[1:]:
        other = tokenizer_of_weight(path)
        if not same_ids(other, tokenizer) or other.bos_id != tokenizer.bos_id:
            raise UsageError(f"{path} has another tokenizer than {paths[0]}, so their losses cannot be compared")
    return tokenizer


def networks_of(loaded, factor: float | None, length: int):
    """The network of a weight under its name, and a second time extended by YaRN if `factor` says so.

    Raises `UsageError` for a network whose positions are a table that ends before `length`.
    """
    from inference.weights import name_of

    config, name = loaded.model.config, name_of(loaded.source)
    if config.model_type == "gpt2" and length > config.max_position_embeddings:
        raise UsageError(
            f"the positions of {loaded.source} are learned, {config.max_position_embeddings:,} of them: give no larger"
            " --max_seq_len"
        )
    yield name, loaded.model
    if factor and config.rope_scaling is None:
        from model.rope_scaling import extended  # few networks are

        yield (
            f"{name}, YaRN {factor:g}, untrained",
            extended(loaded.model, factor, loaded.trained_positions, loaded.source),
        )


def known_positions(loaded) -> int:
    """How far the network had read before any extension."""
    scaling = loaded.model.config.rope_scaling or {}
    return scaling.get("original_max_position_embeddings") or loaded.trained_positions


def table(found: dict, ranges: list[tuple[int, int]]) -> list[str]:
    """A row for each range of positions, a column for each network; a line marks where the first one's texts ended."""
    wide = [max(10, len(name) + 2) for name in found]
    rows = [f"{'positions':<14}" + "".join(f"{name:>{w}}" for name, w in zip(found, wide, strict=True))]
    known = next(iter(found.values()))["known"]
    for number, (first, last) in enumerate(ranges):
        if first > known >= (ranges[number - 1][0] if number else 0):
            rows.append(f"beyond {known:,}:")
        losses = (each["loss"][number] for each in found.values())
        where = f"{first:,}-{last:,}"
        rows.append(f"{where:<14}" + "".join(f"{loss:>{w}.4f}" for loss, w in zip(losses, wide, strict=True)))
    return rows


if __name__ == "__main__":
    run_main(main)
