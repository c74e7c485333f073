"""Measurements behind the figures in docs/, to be run again on any machine.

    python scripts/benchmark.py train --data_path a.jsonl b.jsonl     speed of pretraining against a plain baseline
    python scripts/benchmark.py sft --data_path chats.jsonl           the same of fine-tuning
    python scripts/benchmark.py learn --data_path a.jsonl b.jsonl     what 2 M tokens teach, recipe against recipe
    python scripts/benchmark.py memory --megabytes 20 2000            peak memory of reading a corpus, by its size
    python scripts/benchmark.py plan --data_path a.jsonl              what a plan says of memory against a real step
    python scripts/benchmark.py decode                                decoding against transformers' `generate`

Compare ratios: both sides run on the same machine, one after the other, several times.
"""

from dataset.command_line import positive_int
from model.errors import UsageError
from training.stages.arguments import StageParser


def main(argv=None):
    parser = StageParser(__doc__)
    parser.add_argument("what", choices=("train", "sft", "learn", "memory", "plan", "decode"))
    parser.add_argument("--data_path", nargs="+", metavar="FILE", help="train, learn, plan: texts; sft: conversations")
    parser.add_argument("--out_dir", default="out/benchmark", help="default %(default)s")
    parser.add_argument("--steps", type=positive_int, default=12, help="train, sft: steps a round (%(default)s)")
    parser.add_argument("--rounds", type=positive_int, default=3, help="train, sft, decode: rounds (%(default)s)")
    parser.add_argument("--batch_size", type=positive_int, default=16, help="train, sft: rows a step (%(default)s)")
    parser.add_argument("--profile", action="store_true", help="train: where the time of our loop goes")
    parser.add_argument("--seeds", type=positive_int, default=3, help="learn: seeds (%(default)s)")
    parser.add_argument("--recipes", nargs="+", help="learn: only these recipes")
    megabytes = {"nargs": "+", "type": positive_int, "default": [20, 200]}
    parser.add_argument("--megabytes", **megabytes, metavar="MB", help="memory: sizes of corpus (%(default)s)")
    parser.add_argument("--device", default="auto", help="decode: auto, cpu, cuda, ... (default %(default)s)")
    parser.add_argument("--threads", type=positive_int, help="decode: threads of the CPU (default: torch's choice)")
    parser.add_argument("--against", metavar="FOLDER", help="decode: another checkout of this project, compared too")
    args = parser.parse_args(argv)
    if args.what not in ("memory", "decode") and not args.data_path:
        raise UsageError(f"{args.what} needs --data_path FILE ...")
    if args.profile and args.what != "train":
        raise UsageError(f"--profile is of pretraining: python scripts/benchmark.py train --profile, not {args.what}")
    if args.what in ("train", "sft"):
        from scripts.benchmark.speed import compare
    elif args.what == "memory":
        from scripts.benchmark.memory import compare
    elif args.what == "decode":
        from scripts.benchmark.decode import compare
    elif args.what == "plan":
        from scripts.benchmark.plan import compare
    else:
        from scripts.benchmark.learn import compare
    compare(args)
