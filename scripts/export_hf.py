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
    import torch

    from dataset.rendering import ChatRenderer
    from inference.weights import find_weight, name_of
    from model.errors import UsageError
    from model.files.hf_export import export_folder
    from model.files.loading import load_model
    from model.files.replacing import earlier_export
    from model.files.reward import Spread, is_reward_model, load_reward
    from model.reward import RewardModel
    from model.text.exported import beginning_texts, padding_apart_from

    source = find_weight(args.weight_path, args.out_dir, args.hidden_size)
    if Path(source).resolve() == Path(args.save_dir).resolve():
        raise UsageError(f"--save_dir {args.save_dir} is what is exported: choose another folder")
    if is_reward_model(source):
        given = [name for name in ("tokenizer_path", *size_overrides(args)) if getattr(args, name)]
        if idle := [name for name in given if name != "hidden_size"]:  # it chooses among several weights of a name
            raise UsageError(
                f"{source} is a reward model, which brings its own sizes and tokenizer: leave out --{idle[0]}"
            )
        loaded = load_reward(source)
    else:
        loaded = load_model(source, tokenizer_path=args.tokenizer_path, overrides=size_overrides(args))
    dtype = getattr(torch, args.dtype) if args.dtype else torch.float16 if args.minimind else loaded.stored_dtype
    config, needed, reward = loaded.model.config, [], isinstance(loaded.model, RewardModel)
    if args.minimind and reward:
        raise UsageError("MiniMind has no reward model of this kind: export it without --minimind")
    if args.minimind:
        from model.files.minimind import write_bare

        name = name_of(Path(source).resolve())
        files, needed = write_bare(args.save_dir, loaded.model, loaded.tokenizer, name, dtype)
    else:
        if when := earlier_export(args.save_dir):
            print(f"replaces the export of {when} in {args.save_dir}")
        # A base model saw every text after BOS; chats bring their first token with them.
        tokenizer = beginning_texts(loaded.tokenizer) if loaded.is_base else loaded.tokenizer
        spread, end = Spread.of(loaded.facts), ChatRenderer(tokenizer).end_id
        if reward and not loaded.model.skips_padding:  # one of another program keeps the padding that it learned with
            tokenizer = padding_apart_from(end, tokenizer)
        files = export_folder(args.save_dir, loaded.model, tokenizer, dtype, spread and spread.facts(), end)
    size = f"{config.num_parameters() / 1e6:.3f} M parameters, {str(dtype).removeprefix('torch.')}"
    print(f"{config.model_type}, {size}, from {loaded.source}")
    for file in files:
        print(f"  {file}  {file.stat().st_size:,} bytes")
    if args.minimind:
        year = "" if config.qk_norm else " of April 2025 to March 2026, before its networks had q_norm"
        sizes = f"hidden_size={config.hidden_size}, num_hidden_layers={config.num_hidden_layers}"
        print(f"\nMiniMindConfig({', '.join([sizes, *needed])})  # for MiniMind's code{year}")
        if needed:
            print(
                f"warning: MiniMind's scripts give hidden_size and num_hidden_layers alone: write {', '.join(needed)}"
                " into them, or they compute something else",
                file=sys.stderr,
            )
        return
    kind = "AutoModelForSequenceClassification" if reward else "AutoModelForCausalLM"
    print(f"""
from transformers import {kind}, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained({args.save_dir!r})
model = {kind}.from_pretrained({args.save_dir!r})""")
    if reward:
        name = next(token for token, index in tokenizer.vocab.items() if index == end)
        print(f"# The reward of a chat is model(ids).logits at its last {name}: end the ids with it.")


if __name__ == "__main__":
    run_main(to_its_end(main))
