"""Go only a part of the way from one network to another, to have something of what each of them can do.

    python scripts/interpolate.py --from_weight full_sft --to_weight first_chat --share 0.94 --weight_name chat

Every number of the new weight is (1 - share) A + share B. B was trained from A (WiSE-FT,
https://arxiv.org/abs/2109.01903), or both from a third network (model soups, https://arxiv.org/abs/2203.05482): else
what lies between them can do nothing. How much of B is lost for how much of A, docs/full_sft.md measured for one pair.
Share 1 is B. Of adapters, `--lora_scale` counts a part in the same way. Both networks must have one shape and one
tokenizer (a base model and its instruct model have, though they end texts otherwise; B's is taken); an earlier
weight of the new name is moved to `earlier`, as training does.
"""

import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout as it stands

from dataset.command_line import file_name, positive_int, share
from dataset.unheard import to_its_end
from model.errors import UsageError
from training.report.going_on import command_of
from training.stages.arguments import StageParser, run_main

UNRELATED = 1.0  # of a norm: two seeds of the quickstart are 1.4 apart, what was trained of one network 0.1 to 0.4
MAY_DIFFER = (
    *("max_position_embeddings", "rope_scaling"),  # how far the positions reach
    *("bos_token_id", "eos_token_id", "pad_token_id"),  # an instruct model ends its texts otherwise than its base
    "router_aux_loss_coef",  # of training alone
)


def parse_arguments(arguments=None):
    parser = StageParser(__doc__)
    weight = {"required": True, "metavar": "NAME|FILE|FOLDER"}
    parser.add_argument("--from_weight", **weight, help="A, such as the network that training began with")
    parser.add_argument("--to_weight", **weight, help="B, such as what training made of it")
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
    from model.files.loading import load_model
    from model.files.writable import refuse_unwritable
    from training.engine.output import Output

    refuse_unwritable(args.out_dir)
    files = [find_weight(name, args.out_dir, args.hidden_size) for name in (args.from_weight, args.to_weight)]
    first, second = map(load_model, files)
    output = Output(args.out_dir, f"{args.weight_name}_{second.model.config.hidden_size}", second.model)
    if output.weight_file.resolve() in [Path(file).resolve() for file in files]:
        raise UsageError(f"{output.weight_file} is one of the two networks: choose another --weight_name")
    distance = go_back(second, first, args.share)
    print(f"from {first.source} to {second.source}, {distance:.1%} of the first one's weights apart")
    if distance > UNRELATED:
        print("warning: networks so far apart have usually different beginnings; then what lies between can do nothing")
    output.claim()
    if moved := output.keep_aside():
        print(f"moves the earlier {output.weight_file.name} to {moved}")
    facts = {"from_weight": first.source, "to_weight": second.source, "share": args.share}
    facts["imported"] = second.imported
    if "trained_on" in second.facts:
        facts["trained_on"] = second.facts["trained_on"]
    if "arguments" in second.facts:  # they say how long the texts were that the network has read
        facts["arguments"] = second.facts["arguments"]
    output.save_weights(second.model, second.tokenizer, second.stage, facts)
    output.release()
    print(f"  {output.weight_file}  {output.weight_file.stat().st_size:,} bytes")
    mode = () if second.is_base else ("--model_mode", "1")
    print(f"next: {command_of('eval_model.py', *mode, '--weight_path', output.weight_file)}")


def go_back(second, first, share: float) -> float:
    """Turns the network of `second` into (1 - share) first + share second; returns how far apart the two were, as a
    share of the first one's norm. Both are as `load_model` returns them.

    Raises `UsageError` for networks that are not of one origin, as far as that can be seen.
    """
    import torch

    from model.text.vocabulary import same_ids

    both = f"{first.source} and {second.source}"
    if not same_ids(first.tokenizer, second.tokenizer):
        raise UsageError(f"{both} have different tokenizers: give two of one origin")
    shapes = [each.model.config.to_dict() for each in (first, second)]
    for name in sorted(shapes[0].keys() | shapes[1].keys()):
        if name not in MAY_DIFFER and shapes[0].get(name) != shapes[1].get(name):
            raise UsageError(f"{both} differ in {name}: give two of one origin")
    # Parameters, not the state dict: that holds a tied head a second time.
    start = dict(first.model.named_parameters())
    size, way = 0.0, 0.0  # squares
    with torch.no_grad():
        for name, tensor in second.model.named_parameters():
            size += float(start[name].double().square().sum())
            way += float((tensor - start[name]).double().square().sum())
            tensor.copy_(torch.lerp(start[name], tensor, share))
    if way == 0 or not math.isfinite(way / size):
        reason = "hold the same numbers" if way == 0 else "hold numbers that are not finite"
        raise UsageError(f"{both} {reason}: give two of one origin")
    return math.sqrt(way / size)


if __name__ == "__main__":
    run_main(to_its_end(main))
