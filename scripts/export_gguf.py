"""Write a trained weight as a GGUF file, which llama.cpp, ollama, LM Studio and others run.

    python scripts/export_gguf.py --weight_path out/full_sft_512.pth --save_file out/sprout.gguf
    python scripts/export_gguf.py --weight_path full_sft --lora medic --save_file out/medic.gguf --type q8_0
    python scripts/export_gguf.py --weight_path full_sft --save_file out/sprout.gguf --type f16 q8_0 q4_k_m \\
        --data_path my_chats.jsonl     # one file a type, and how much of the quality each of them keeps

Beside it lies a Modelfile: ollama create sprout -f out/Modelfile. Such a file also opens wherever a weight does.
"""

import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout as it stands

from dataset.command_line import nonnegative
from dataset.unheard import to_its_end
from inference.arguments import refuse_scale_of_nothing
from inference.columns import in_columns
from model.errors import UsageError, counted, in_short
from training.report.going_on import in_words
from training.stages.arguments import StageParser, run_main, size_overrides
from training.stages.bare_weight import add_bare_weight_arguments

TYPES = ("f32", "f16", "bf16", "q8_0", "q6_k", "q5_1", "q5_0", "q4_k_m", "q4_1", "q4_0")


def parse_arguments(arguments=None):
    parser = StageParser(__doc__)
    parser.add_argument(
        "--weight_path",
        "--weight",
        metavar="NAME|FILE|FOLDER",
        help="a name in --out_dir, a .pth, a .gguf, or an HF folder",
    )
    parser.add_argument("--out_dir", default="out", help="where names are looked for (%(default)s)")
    parser.add_argument("--save_file", required=True, metavar="FILE.gguf", help="of several types: FILE-q8_0.gguf, ...")
    parser.add_argument("--type", nargs="+", choices=TYPES, default=["f16"], help="of the weights (f16)")
    parser.add_argument("--data_path", metavar="FILE", help="texts or chats, to measure the loss of each type on")
    parser.add_argument(
        "--lora",
        metavar="NAME|FILE|FOLDER",
        help="adapters to merge: a name in <out_dir>/lora, a .pth, or peft's folder; into the network they belong to,"
        " if no weight is given",
    )
    parser.add_argument("--lora_scale", type=nonnegative, metavar="X", help="how much of the adapters counts (1)")
    parser.add_argument("--tokenizer_path", metavar="FOLDER", help="default: the weight's own")
    add_bare_weight_arguments(parser)
    return parser.parse_args(arguments)


def main(arguments=None) -> None:
    args = parse_arguments(arguments)

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from dataset.rendering import ChatRenderer
    from inference.weights import open_network
    from model.device import choose_device
    from model.files.gguf.library import gguf_library
    from model.files.gguf.modelfile import modelfile, refuse_foreign, weights_of, write_modelfile
    from model.files.gguf.writing import earlier_gguf
    from model.text.exported import beginning_texts

    # Refuse what cannot be done before the network is read
    gguf_library()
    refuse_unusable(args)
    save_file = Path(args.save_file)
    types = list(dict.fromkeys(args.type))
    files = {kind: save_file if len(types) == 1 else save_file.with_stem(f"{save_file.stem}-{kind}") for kind in types}
    path = save_file.with_name("Modelfile")
    refuse_foreign(path)
    replaced = [file for file in files.values() if earlier_gguf(file)]

    args.weight = None  # here the flag is another name of --weight_path
    loaded = open_network(args, "", choose_device("cpu", "float32"), size_overrides(args), print)
    if Path(loaded.source).resolve() in [file.resolve() for file in files.values()]:
        raise UsageError(f"{loaded.source} is what is exported: choose another --save_file")
    for file in replaced:
        print(f"replaces the export {file}")
    # A base model saw every text after BOS; chats bring their first token with them, and the template they were
    # trained with.
    is_base = loaded.is_base and not args.lora
    renderer = ChatRenderer(loaded.tokenizer)
    tokenizer = beginning_texts(loaded.tokenizer) if is_base else renderer.tokenizer
    export(args, loaded, tokenizer, renderer.end_id, files)

    first = next(iter(files.values()))
    before = weights_of(path)
    write_modelfile(path, modelfile(first.name, tokenizer, loaded.model.config.max_position_embeddings, not is_base))
    if before not in (None, first.name):
        print(f"\nnote: {path} was for {before}, and is for {first.name} now")
    print(f"\n{path}  for {first.name}: {in_words(['ollama', 'create', save_file.stem, '-f', path])}")


def refuse_unusable(args) -> None:
    """Raises `UsageError` for flags that mean nothing together, and for --data_path where it cannot be read."""
    from dataset.records.reading import check_file

    if not args.weight_path and not args.lora:
        raise UsageError("nothing to export: give a weight by --weight_path, or adapters by --lora")
    refuse_scale_of_nothing(args)
    if args.data_path:
        check_file(args.data_path)
    if Path(args.save_file).suffix != ".gguf":
        raise UsageError(f"--save_file {args.save_file} does not end in .gguf")


def export(args, loaded, tokenizer, end_of_turn, files) -> None:
    """Writes the files by type, and prints a table of them."""
    from tqdm import tqdm

    from model.files.gguf.writing import write_gguf

    loss_of = measure(args)
    loss = loss_of(loaded)
    rows = [("type", "megabytes", "bits a weight", *(("loss", "perplexity") if loss else ()), "file")]
    source = loaded.source + (f" with {args.lora}" if args.lora else "")
    rows += [("the weight", "", "", *figures(loss), source)] if loss else []
    said = set()
    for kind, file in files.items():
        with tqdm(total=100, desc=f"packing {kind}", unit="%", delay=10, leave=False) as bar:
            shown = {"show": lambda share: bar.update(100 * share - bar.n)}
            written = write_gguf(file, loaded.model, tokenizer, kind, end_of_turn=end_of_turn, **shown)
        said.update(f"warning: {warning}" for warning in written.warnings)
        for (wanted, got), count in Counter(written.too_short.values()).items():
            note = f"note: {kind}: {got} for {count} tensors with rows of no whole number of {wanted} blocks"
            said.add(counted(note))
        loss = loss_of(file)
        rows.append((kind, f"{written.size / 1e6:.1f}", f"{written.bits:.2f}", *figures(loss), str(file)))
    for line in sorted(said):
        print(line, file=sys.stderr)
    print("\n".join(in_columns(rows, left=range(len(rows[0])))))


def figures(loss: dict | None) -> tuple[str, ...]:
    return (f"{loss['loss']:.4f}", in_short(loss["perplexity"], 3)) if loss else ()


def measure(args):
    """A function from a network, or the file of one, to its measures on --data_path; to None where none is given."""
    if not args.data_path:
        return lambda network: None
    from dataset.records.measured import kind_of_file
    from inference.evaluation import evaluate_file
    from model.device import choose_device
    from model.files.loading import load_model

    kind, _ = kind_of_file(args.data_path, ("text", "chat"), None)
    device = choose_device("cpu", "float32")

    def loss_of(network):
        network = load_model(network) if isinstance(network, Path) else network
        return evaluate_file(network, args.data_path, kind, device)

    return loss_of


if __name__ == "__main__":
    run_main(to_its_end(main))
