"""Write a trained weight as a Hugging Face folder, which transformers, vLLM and llama.cpp read.

    python scripts/export_hf.py --weight_path out/pretrain_512.pth --save_dir out/pretrain_hf
    python scripts/export_hf.py --weight_path out/pretrain_512.pth --save_dir out/pretrain_hf --dtype bfloat16

    python scripts/export_hf.py --weight_path out/full_sft_768.pth --save_dir out/minimind --minimind

The network is a Llama, Qwen2, Qwen3 or Qwen3-MoE (or GPT-2) as it stands: no weight is changed, and no custom code
opens it. With --minimind it becomes the file that MiniMind's own scripts load.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout as it stands

from dataset.unheard import to_its_end
from model.errors import UsageError
from training.stages.arguments import StageParser, run_main, size_overrides
from training.stages.bare_weight import add_bare_weight_arguments


def parse_arguments(arguments=None):
    parser = StageParser(__doc__)
    parser.add_argument(
        "--weight_path",
        "--weight",
        required=True,
        metavar="NAME|FILE|FOLDER",
        help="a name in --out_dir, a .pth, or an HF folder",
    )
    parser.add_argument("--out_dir", default="out", help="where names are looked for (%(default)s)")
    parser.add_argument("--save_dir", required=True, metavar="FOLDER", help="where to write; made if missing")
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16"),
        help="type of the weights (default: as they are stored; float16 with --minimind)",
    )
    parser.add_argument(
        "--minimind", action="store_true", help="write <name>_<hidden>.pth as MiniMind saves it, and the tokenizer"
    )
    parser.add_argument(
        "--tokenizer_path",
        metavar="FOLDER",
        help="for a weight without a tokenizer, or one that extends its own",
    )
    add_bare_weight_arguments(parser)
    return parser.parse_args(arguments)


def main(arguments=None) -> None:
    args = parse_arguments(arguments)

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from inference.weights import find_weight, name_of
    from model.files.minimind import write_bare
    from model.reward import RewardModel

    source = find_weight(args.weight_path, args.out_dir, args.hidden_size)
    if Path(source).resolve() == Path(args.save_dir).resolve():
        raise UsageError(f"--save_dir {args.save_dir} is what is exported: choose another folder")
    loaded = open_weight(args, source)
    if args.minimind and isinstance(loaded.model, RewardModel):
        raise UsageError("MiniMind has no reward model of this kind: export it without --minimind")

    dtype = type_of_weights(args, loaded)
    if args.minimind:
        name = name_of(Path(source).resolve())
        files, needed = write_bare(args.save_dir, loaded.model, loaded.tokenizer, name, dtype)
    else:
        files, tokenizer, end_id = write_folder(args, loaded, dtype)
    config = loaded.model.config
    size = f"{config.num_parameters() / 1e6:.3f} M parameters, {str(dtype).removeprefix('torch.')}"
    print(f"{config.model_type}, {size}, from {loaded.source}")
    for file in files:
        print(f"  {file}  {file.stat().st_size:,} bytes")
    if args.minimind:
        show_minimind_config(config, needed)
    else:
        show_code_that_opens(args.save_dir, isinstance(loaded.model, RewardModel), tokenizer, end_id)


def open_weight(args, source: str):
    """The network or the reward model at `source`. Raises `UsageError` for flags that a reward model does not take."""
    from model.files.loading import load_model
    from model.files.reward import is_reward_model, load_reward

    if not is_reward_model(source):
        return load_model(source, tokenizer_path=args.tokenizer_path, overrides=size_overrides(args))
    given = [name for name in ("tokenizer_path", *size_overrides(args)) if getattr(args, name)]
    if idle := [name for name in given if name != "hidden_size"]:  # it chooses among several weights of a name
        raise UsageError(f"{source} is a reward model, which brings its own sizes and tokenizer: leave out --{idle[0]}")
    return load_reward(source)


def type_of_weights(args, loaded):
    """The torch type in which the weights are written."""
    import torch

    if args.dtype:
        return getattr(torch, args.dtype)
    return torch.float16 if args.minimind else loaded.stored_dtype


def write_folder(args, loaded, dtype) -> tuple:
    """Writes the Hugging Face folder; returns its files, the tokenizer in it, and the id that ends a turn."""
    from dataset.rendering import ChatRenderer
    from model.files.hf_export import export_folder
    from model.files.replacing import earlier_export
    from model.files.reward import Spread
    from model.reward import RewardModel
    from model.text.exported import beginning_texts, padding_apart_from

    if when := earlier_export(args.save_dir):
        print(f"replaces the export of {when} in {args.save_dir}")
    # A base model saw every text after BOS; chats bring their first token with them.
    tokenizer = beginning_texts(loaded.tokenizer) if loaded.is_base else loaded.tokenizer
    end_id = ChatRenderer(tokenizer).end_id
    if isinstance(loaded.model, RewardModel) and not loaded.model.skips_padding:
        # One that skips it learned in another program, and keeps the padding that it learned with.
        tokenizer = padding_apart_from(end_id, tokenizer)
    spread = Spread.of(loaded.facts)
    files = export_folder(args.save_dir, loaded.model, tokenizer, dtype, spread and spread.facts(), end_id)
    return files, tokenizer, end_id


def show_minimind_config(config, needed: list[str]) -> None:
    """Prints the config that MiniMind's code needs. needed: settings beyond those that its scripts give."""
    year = "" if config.qk_norm else " of April 2025 to March 2026, before its networks had q_norm"
    sizes = f"hidden_size={config.hidden_size}, num_hidden_layers={config.num_hidden_layers}"
    print(f"\nMiniMindConfig({', '.join([sizes, *needed])})  # for MiniMind's code{year}")
    if needed:
        print(
            f"warning: MiniMind's scripts give hidden_size and num_hidden_layers alone: write {', '.join(needed)}"
            " into them, or they compute something else",
            file=sys.stderr,
        )


def show_code_that_opens(folder: str, is_reward: bool, tokenizer, end_id: int) -> None:
    """Prints the Python by which transformers opens the folder."""
    kind = "AutoModelForSequenceClassification" if is_reward else "AutoModelForCausalLM"
    print(f"""
from transformers import {kind}, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained({folder!r})
model = {kind}.from_pretrained({folder!r})""")
    if is_reward:
        name = next(token for token, index in tokenizer.vocab.items() if index == end_id)
        print(f"# The reward of a chat is model(ids).logits at its last {name}: end the ids with it.")


if __name__ == "__main__":
    run_main(to_its_end(main))
