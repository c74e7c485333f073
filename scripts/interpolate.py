"""Go only a part of the way from a network to one that was trained from it, and get back what that one has forgotten.

    python scripts/interpolate.py --from_weight full_sft --to_weight first_chat --share 0.95 --weight_name chat

Every number of the new weight is (1 - share) A + share B: WiSE-FT (https://arxiv.org/abs/2109.01903). What the second
network has forgotten comes back sooner than what it has learned is lost (docs/full_sft.md). Share 1 is the second one.
Of adapters, `--lora_scale` counts a part in the same way. Both networks must have one shape and one tokenizer.
"""

import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout as it stands

from dataset.command_line import file_name, positive_int, share
from model.errors import SproutError, UsageError
from training.report.going_on import command_of
from training.stages.arguments import StageParser, run_main


def parse_arguments(arguments=None):
    parser = StageParser(__doc__)
    weight = {"required": True, "metavar": "NAME|FILE|FOLDER"}
    parser.add_argument("--from_weight", **weight, help="the network that training began with, A")
    parser.add_argument("--to_weight", **weight, help="what training made of it, B")
    parser.add_argument("--share", type=share, required=True, metavar="X", help="how much of the way, from 0 to 1")
    parser.add_argument(
        "--weight_name", type=file_name, required=True, help="writes <out_dir>/<weight_name>_<hidden>.pth"
    )
    parser.add_argument("--out_dir", default="out", help="where weights are (%(default)s)")
    parser.add_argument("--hidden_size", type=positive_int, metavar="N", help="where a name fits several sizes")
    return parser.parse_args(arguments)


def main(arguments=None) -> None:
    args = parse_arguments(arguments)

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from inference.weights import find_weight
    from model.files.checkpoint import save_weights
    from model.files.loading import load_model

    first, second = (
        load_model(find_weight(name, args.out_dir, args.hidden_size)) for name in (args.from_weight, args.to_weight)
    )
    path = Path(args.out_dir) / f"{args.weight_name}_{second.model.config.hidden_size}.pth"
    if path.exists():
        raise SproutError(f"{path} is there already: choose another --weight_name, or move it away")
    distance = go_toward(first, second, args.share)
    print(f"from {first.source} to {second.source}, {distance:.1%} of the first one's weights apart")
    facts = {"from_weight": first.source, "to_weight": second.source, "share": args.share}
    facts["imported"] = second.imported
    if "arguments" in second.facts:  # they say how long the texts were that the network has read
        facts["arguments"] = second.facts["arguments"]
    save_weights(path, first.model, second.tokenizer, stage=second.stage, facts=facts)
    print(f"  {path}  {path.stat().st_size:,} bytes")
    mode = () if second.stage == "pretrain" else ("--model_mode", "1")
    print(f"next: {command_of('eval_model.py', *mode, '--weight_path', path)}")


def go_toward(first, second, share: float) -> float:
    """Turns the network of `first` into (1 - share) first + share second; returns how far apart the two were, as a
    share of the first one's norm. first, second: as `load_model` returns them.

    Raises `UsageError` for networks that were not trained one from the other, as far as that can be seen.
    """
    import torch

    if first.tokenizer.fingerprint != second.tokenizer.fingerprint:
        raise UsageError(f"{first.source} and {second.source} have different tokenizers: give two weights of one way")
    # Parameters, not the state dict: that holds a tied head a second time.
    ours, theirs = (dict(each.model.named_parameters()) for each in (first, second))
    shapes = [{name: tensor.shape for name, tensor in each.items()} for each in (ours, theirs)]
    if shapes[0] != shapes[1] or type(first.model.config) is not type(second.model.config):
        raise UsageError(f"{first.source} and {second.source} are networks of different shapes: give two of one way")
    size, way = 0.0, 0.0  # squares
    with torch.no_grad():
        for name, tensor in ours.items():
            size += float(tensor.double().square().sum())
            way += float((theirs[name] - tensor).double().square().sum())
            tensor.lerp_(theirs[name], share)
    return math.sqrt(way / size)


if __name__ == "__main__":
    run_main(main)
