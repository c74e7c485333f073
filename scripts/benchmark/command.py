"""Measurements behind the figures in docs/, to be run again on any machine.

    python scripts/benchmark.py train --data_path a.jsonl b.jsonl     speed of pretraining against a plain baseline
    python scripts/benchmark.py sft --data_path chats.jsonl           the same for fine-tuning
    python scripts/benchmark.py learn --data_path a.jsonl b.jsonl     what 2 M tokens teach, recipe against recipe
    python scripts/benchmark.py memory --megabytes 20 2000            peak memory of reading a corpus, by its size
    python scripts/benchmark.py muon                                  Muon's matrices in float32 on a CPU, two ways
    python scripts/benchmark.py plan --data_path a.jsonl              what a plan says of memory against a real step
    python scripts/benchmark.py gpu --data_path a.jsonl chats.jsonl   all of docs/gpu.md, on a CUDA GPU, in 8 minutes
    python scripts/benchmark.py decode                                decoding against transformers' `generate`
    python scripts/benchmark.py rollouts --data_path a.jsonl --weight_path FILE   sampling, against MiniMind's way
    python scripts/benchmark.py harness --data_path blimp.jsonl --weight_path FILE   scores, against lm_eval
    python scripts/benchmark.py duplicates --data_path a.jsonl --labelled b.jsonl   MinHash, against datasketch
    python scripts/benchmark.py prepare --data_path a.jsonl           preparing a corpus, against datatrove's pipeline
    python scripts/benchmark.py scale --only shard --preset tiny       bytes a process holds with each --shard
    python scripts/benchmark.py scale --only stages --preset 1b        bytes of a step of each stage, compact
    python scripts/benchmark.py scale --only recomputation            activation checkpointing: times and bytes
    python scripts/benchmark.py scale --data_path a.jsonl             all of docs/scale.md; --only experts for a part
    python scripts/benchmark.py tokenizer --data_path a.jsonl --megabytes 50 1000   training one, against `tokenizers`
    python scripts/benchmark.py choosing --data_path out/quickstart   docs/choosing.md; --only data for a part
    python scripts/benchmark.py imported --weight_path GGUF --data_path chats.jsonl pairs.jsonl texts.jsonl   its rates

Compare ratios: both sides run on the same machine, one after the other, several times.
"""

from importlib import import_module

from dataset.command_line import positive, positive_int
from model.config import PRESETS
from model.errors import UsageError
from scripts.benchmark.program import run_program
from training.stages.arguments import StageParser

# What is measured, and the module that does: its `compare` takes the arguments.
MODULES = {
    "train": "speed",
    "sft": "speed",
    "learn": "learn",
    "memory": "memory",
    "plan": "plan",
    "gpu": "gpu.measure",
    "decode": "decode",
    "rollouts": "rollouts",
    "harness": "harness",
    "duplicates": "duplicates",
    "prepare": "prepare",
    "scale": "scale.measure",
    "tokenizer": "tokenizer",
    "choosing": "choosing",
    "imported": "imported",
    "muon": "muon",
}


def main(argv=None):
    parser = StageParser(__doc__)
    parser.add_argument("what", choices=MODULES)
    what = "train, learn, plan, prepare, scale, tokenizer: texts; sft: conversations; gpu: both; choosing: folders;"
    what += " imported: conversations, pairs and texts"
    parser.add_argument("--data_path", nargs="+", metavar="FILE", help=what)
    parser.add_argument("--out_dir", default="out/benchmark", help="default %(default)s")
    parser.add_argument("--steps", type=positive_int, default=12, help="train, sft: steps a round (%(default)s)")
    parser.add_argument("--rounds", type=positive_int, default=3, help="of all that take turns (%(default)s)")
    parser.add_argument("--batch_size", type=positive_int, default=16, help="train, sft: rows a step (%(default)s)")
    parser.add_argument("--profile", action="store_true", help="train: where the time of our loop goes")
    parser.add_argument("--seeds", type=positive_int, default=3, help="learn, scale: seeds (%(default)s)")
    parser.add_argument("--recipes", nargs="+", help="learn: only these recipes")
    megabytes = {"nargs": "+", "type": positive_int, "default": [20, 200]}
    parser.add_argument("--megabytes", **megabytes, metavar="MB", help="memory, tokenizer: sizes (%(default)s)")
    parser.add_argument("--minutes", type=positive, default=8, help="gpu: time for all of it (%(default)s)")
    parser.add_argument(
        "--against", metavar="FOLDER", help="gpu, decode: a checkout of an earlier commit, measured too"
    )
    parser.add_argument("--minimind", metavar="FOLDER", help="gpu, rollouts: a checkout of MiniMind, measured too")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="gpu, scale, choosing, imported: only these")
    parser.add_argument("--preset", choices=PRESETS, default="26m", help="scale --only shard or stages (%(default)s)")
    parser.add_argument("--quickstart", action="store_true", help="gpu: also the whole quickstart, if time is left")
    parser.add_argument("--rehearse", action="store_true", help="gpu, scale: experts at its smallest, on a CPU")
    parser.add_argument("--device", default="auto", help="decode: auto, cpu, cuda, ... (default %(default)s)")
    parser.add_argument("--weight_path", metavar="FILE", help="rollouts, harness, imported: the network")
    parser.add_argument("--limit", type=positive_int, metavar="N", help="harness, duplicates: the first N of each file")
    parser.add_argument("--labelled", metavar="FILE", help="duplicates: texts of which all pairs are compared, too")
    parser.add_argument("--max_new_tokens", type=positive_int, default=64, help="harness: of an answer (%(default)s)")
    parser.add_argument("--server", action="store_true", help="harness: asks scripts/serve.py, not an exported folder")
    kinds = {"choices": ("float32", "float64"), "default": "float32"}
    parser.add_argument("--harness_dtype", **kinds, help="harness: the other side computes in (%(default)s)")
    parser.add_argument("--threads", type=positive_int, help="decode: threads of the CPU (default: torch's choice)")
    args = parser.parse_args(argv)
    without = args.only in (["shard"], ["stages"], ["recomputation"])
    if args.what not in ("memory", "gpu", "decode", "muon") and not without and not args.data_path:
        raise UsageError(f"{args.what} needs --data_path FILE ...")
    if args.what in ("rollouts", "harness", "imported") and not args.weight_path:
        raise UsageError(f"{args.what} needs --weight_path FILE, such as out/quickstart/full_sft_256.pth")
    if args.profile and args.what != "train":
        raise UsageError(f"--profile is for pretraining: python scripts/benchmark.py train --profile, not {args.what}")
    # Imported only now: each brings its own libraries, and --help answers at once.
    import_module(f"scripts.benchmark.{MODULES[args.what]}").compare(args)


if __name__ == "__main__":
    run_program(__doc__)
