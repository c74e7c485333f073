"""Make adapters a part of their network, or a folder that Hugging Face's peft opens.

    python scripts/merge_lora.py --lora medic --weight_name merged         # writes out/merged_512.pth
    python scripts/merge_lora.py --lora medic --peft out/medic_peft        # writes a folder for peft, and its base
    python scripts/merge_lora.py --lora some/peft_folder --from_weight some/hf_folder --weight_name merged

The merged weight is W + (alpha / rank) B A, a network like any other, which computes what network and adapters do.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout as it stands

from dataset.command_line import file_name, nonnegative, positive_int
from dataset.unheard import to_its_end
from model.errors import SproutError, UsageError
from training.report.going_on import command_of
from training.stages.arguments import StageParser, run_main


def parse_arguments(arguments=None):
    parser = StageParser(__doc__)
    parser.add_argument(
        "--lora", required=True, metavar="NAME|FILE|FOLDER", help="a name in <out_dir>/lora, a .pth, or peft's folder"
    )
    parser.add_argument(
        "--lora_scale", type=nonnegative, default=1.0, metavar="X", help="how much of them counts (%(default)g)"
    )
    parser.add_argument(
        "--from_weight",
        metavar="NAME|FILE|FOLDER",
        help="the network they belong to (default: the one they were trained on)",
    )
    parser.add_argument("--out_dir", default="out", help="where weights are (%(default)s)")
    parser.add_argument("--hidden_size", type=positive_int, metavar="N", help="where a name fits several sizes")
    parser.add_argument("--tokenizer_path", metavar="FOLDER", help="as in training, if it was given there")
    parser.add_argument(
        "--weight_name", type=file_name, help="writes <out_dir>/<weight_name>_<hidden>.pth (merged, if no --peft)"
    )
    parser.add_argument(
        "--peft",
        metavar="FOLDER",
        help="writes them for peft, and their network as FOLDER_base where it is no such folder already",
    )
    return parser.parse_args(arguments)


def main(arguments=None) -> None:
    args = parse_arguments(arguments)
    if args.peft and not args.lora_scale:
        raise UsageError("--lora_scale 0 leaves nothing of the adapters to write with --peft: give more than 0")

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from inference.weights import find_adapters, find_weight, network_of
    from model.files.loading import load_model

    adapters = find_adapters(args.lora, args.out_dir, args.hidden_size).scaled(args.lora_scale)
    source = args.from_weight or network_of(adapters, "--from_weight", args.out_dir)
    loaded = load_model(find_weight(source, args.out_dir, args.hidden_size), tokenizer_path=args.tokenizer_path)
    adapters.attach(loaded.model)
    print(f"{loaded.source} with {adapters}")

    path = Path(args.out_dir) / f"{args.weight_name or 'merged'}_{loaded.model.config.hidden_size}.pth"
    merges = bool(args.weight_name or not args.peft)
    if merges:
        refuse_there(path)
    if args.peft:
        write_for_peft(args.peft, loaded)
    if merges:
        write_merged(path, loaded, adapters, args.lora_scale)


def refuse_there(path: Path) -> None:
    """Raises `SproutError` if there is a file at `path`."""
    if path.exists():
        raise SproutError(f"{path} is there already: choose another --weight_name, or move it away")


def write_for_peft(folder: str, loaded) -> None:
    """Writes the adapters that are attached to a network into a folder of peft, and prints how they are opened."""
    from dataset.rendering import ChatRenderer
    from model.files.peft import WEIGHTS, refuse_peft_folder, write_peft_folder
    from model.files.replacing import earlier_export
    from model.text.chat_template import template_of

    refuse_peft_folder(folder, loaded.model)  # before the network is written
    if when := earlier_export(folder, WEIGHTS):
        print(f"replaces the adapters of {when} in {folder}")
    base = base_folder(folder, loaded)
    renderer = ChatRenderer(loaded.tokenizer)
    # The network's own folder may have no chat template, or another than the adapters learned with.
    lacks_template = base == loaded.source and (renderer.replaced or template_of(loaded.tokenizer) is None)
    tokenizer = renderer.tokenizer if lacks_template else None
    for file in write_peft_folder(folder, loaded.model, base, tokenizer):
        print(f"  {file}  {file.stat().st_size:,} bytes")
    print(f"""
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained({folder if tokenizer else base!r})
model = AutoModelForCausalLM.from_pretrained({base!r})
model = PeftModel.from_pretrained(model, {folder!r})""")


def base_folder(peft_folder: str, loaded) -> str:
    """The Hugging Face folder of the network that adapters belong to; where there is none yet, writes FOLDER_base."""
    from dataset.rendering import ChatRenderer
    from model.files.hf_export import export_folder
    from model.files.replacing import earlier_export
    from model.text.tokenizer import Tokenizer

    if Path(loaded.source).is_dir() and Tokenizer.load(loaded.source).fingerprint == loaded.tokenizer.fingerprint:
        return loaded.source
    base = f"{peft_folder.rstrip('/')}_base"
    if when := earlier_export(base):
        print(f"replaces the export of {when} in {base}")
    renderer = ChatRenderer(loaded.tokenizer)
    export_folder(base, loaded.model, renderer.tokenizer, loaded.stored_dtype, end_of_turn=renderer.end_id)
    print(f"  {base}  the network they belong to, as Hugging Face has it")
    return base


def write_merged(path: Path, loaded, adapters, scale: float) -> None:
    """Merges the adapters that are attached to a network into it, in place, and writes it as one of ours."""
    from dataset.rendering import ChatRenderer
    from model.lora import merge_lora
    from training.engine.output import Output

    merge_lora(loaded.model)
    output = Output(path.parent, path.stem, loaded.model)
    output.claim()
    refuse_there(path)  # another command may have written it while this one read
    tokenizer = ChatRenderer(loaded.tokenizer).tokenizer  # with the chat template they were trained on
    facts = {"merged": adapters.source, "lora_scale": scale, "network": loaded.source}
    facts["imported"] = loaded.imported
    if "arguments" in loaded.facts:  # they say how long the texts were that the network has read
        facts["arguments"] = loaded.facts["arguments"]
    output.save_weights(loaded.model, tokenizer, adapters.stage, facts)
    output.release()
    print(f"  {path}  {path.stat().st_size:,} bytes")
    print(f"next: {command_of('eval_model.py', '--model_mode', '1', '--weight_path', path)}")


if __name__ == "__main__":
    run_main(to_its_end(main))
