"""The command line that all stages share: grouped flags, helpful errors, defaults from a YAML file."""

import argparse
import sys

from dataset.command_line import (
    CommandParser,
    add_switch,
    count,
    file_name,
    fraction,
    nonnegative,
    positive,
    positive_int,
)
from dataset.command_line import run_main as run_main  # for the scripts
from model.config import PRESETS

SIZE_FLAGS = """hidden_size num_hidden_layers num_attention_heads num_key_value_heads intermediate_size head_dim
    max_position_embeddings num_experts num_experts_per_tok moe_intermediate_size""".split()

# Every flag declares what it decides. A resumed run refuses another value of a `RESULT` flag.
RESULT = "the result"  # the value changes what is learned
COMPARED = "something compared"  # a resumed run compares what follows from the value: data, network, plan, precision
NOTHING = "nothing"  # the value does not change what is learned


class Arguments(argparse.Namespace):
    """The flags of a stage. `changing_the_result()` are those declared as `RESULT`, by name."""

    __slots__ = ("decides",)  # what each flag decides, by name; not a flag itself

    def changing_the_result(self) -> dict:
        return {name: getattr(self, name) for name, decided in self.decides.items() if decided == RESULT}


class Flags:
    """Adds flags to a group of the help. `decides` is given for the group, or for a single flag."""

    def __init__(self, group, decides: str):
        self.group, self._decides = group, decides

    def __call__(self, name: str, decides: str | None = None, **settings) -> None:
        self.group.add_argument(name, **settings).decides = decides or self._decides


class StageParser(CommandParser):
    """A parser for one stage; `description` is the stage script's docstring.

    `--config FILE.yaml` gives defaults under the flags' own names; what stands on the command line wins.
    """

    def __init__(self, description: str | None = None):
        super().__init__(description, usage="%(prog)s [flags]")  # the groups are easier to read than the usage line
        config = self.add_argument("--config", metavar="FILE.yaml", help="flags from a file; the command line wins")
        config.decides = NOTHING  # the flags in the file decide
        self._defaults_under: dict[str, dict] = {}  # by switch

    def flags(self, title: str, decides: str) -> Flags:
        """The group of flags under a title; `decides` holds for every flag that does not give its own."""
        group = next((group for group in self._action_groups if group.title == title), None)
        return Flags(group or self.add_argument_group(title), decides)

    def set_defaults_under(self, switch: str, **defaults) -> None:
        """Sets other defaults for command lines with `switch`."""
        self._defaults_under[switch] = defaults

    def parse_args(self, args=None, namespace=None) -> Arguments:
        args, given = sys.argv[1:] if args is None else list(args), []
        known = super().parse_args(args, Arguments())
        if known.config:
            from training.stages.config_file import flags_in  # a command line without --config does not load it

            given = flags_in(known.config, self, known)
            known = super().parse_args(given + args, Arguments())  # the last value of a repeated flag counts
        for switch, defaults in self._defaults_under.items():
            if getattr(known, switch):
                self.set_defaults(**defaults)
                known = super().parse_args(given + args, Arguments())
        if getattr(known, "val_path", []) and known.val_ratio and known.val_ratio is not self.get_default("val_ratio"):
            self.error("--val_ratio holds out a part of the data, and --val_path names files instead: give one of them")
        known.decides = {flag.dest: flag.decides for flag in self._actions if hasattr(flag, "decides")}
        return known


def add_data_arguments(parser: StageParser, data_help: str, max_seq_len: int = 512) -> None:
    """`data_help` says in the help which files are accepted, say 'texts: JSON lines, parquet'."""
    flag = parser.flags("data", COMPARED)
    flag("--data_path", nargs="+", metavar="FILE[:WEIGHT]", help=data_help)
    flag("--val_path", nargs="+", metavar="FILE", help="validation files (default: a part of the data)")
    flag("--val_ratio", type=fraction, default=0.01, help="share of documents held out (%(default)s)")
    flag("--max_seq_len", type=positive_int, default=max_seq_len, help="tokens in a row (%(default)s)")
    flag("--format", metavar="NAME", help="read records so, do not detect (docs/chat_data.md)")
    flag("--on_bad_line", choices=("stop", "skip"), default="stop", help="default %(default)s")
    flag("--tokenizer_path", metavar="FOLDER", help="default: that of the weight, or the shipped one")


def add_model_arguments(parser: StageParser, start_from: str | None) -> None:
    """`start_from`: the weight that the stage begins with by default; None: a new network."""
    flag = parser.flags("model", COMPARED)
    begin = f"begin with: a name in --out_dir, a .pth, or an HF folder (default: {start_from or 'a new network'})"
    either = Flags(flag.group.add_mutually_exclusive_group(), COMPARED)
    either("--from_weight", metavar="NAME|FILE|FOLDER", default=start_from, help=begin)
    either("--weight_path", metavar="FILE|FOLDER", help="the same as --from_weight with a path")
    flag("--preset", help=f"size by name: {', '.join(PRESETS)} (default 26m)")
    add_size_arguments(flag)
    flag("--rope_theta", type=positive, metavar="X")
    flag("--rope_scaling_factor", type=positive, metavar="X", help="read X times as long texts, by YaRN")
    add_switch(flag, "qk_norm", "normalise queries and keys (Qwen3)")
    add_switch(flag, "attention_bias", "biases on q, k, v (Qwen2)")
    add_switch(flag, "tie_word_embeddings", "one matrix for embedding and head")
    add_switch(flag, "norm_topk_prob", "weights of a token's experts sum to one")
    flag("--router_aux_loss_coef", type=nonnegative, metavar="X", help="balances experts (0.01)")
    flag("--freeze_layers", RESULT, type=count, default=0, metavar="N", help="train only layers from N on")


def add_optimization_arguments(parser: StageParser, optimizer: str, weight_decay: float) -> None:
    flag = parser.flags("optimization (what is not given is chosen by model size and data, and printed)", COMPARED)
    flag("--epochs", type=positive_int, default=1, help="passes over the data (%(default)s)")
    flag("--max_steps", type=positive_int, help="end after so many optimizer steps")
    flag("--batch_size", type=positive_int, help="rows in a micro-batch of one process")
    flag("--accumulation_steps", type=positive_int, help="micro-batches in an optimizer step")
    flag("--fit", type=positive, metavar="GB", help="choose the micro-batch to fit into this much memory")
    add_switch(flag, "activation_checkpointing", "less memory, more time", False, ("layers", "cheap"), decides=NOTHING)
    flag("--optimizer_memory", choices=("exact", "compact"), help="compact: 8 bytes a parameter, not 16 (exact)")
    flag("--offload_states", NOTHING, action="store_true", help="compact: moments and lower halves in RAM")
    shard = "spread over torchrun's processes: optimizer (ZeRO-2), full (ZeRO-3); docs/scale.md (none)"
    flag("--shard", choices=("none", "optimizer", "full"), default="none", help=shard)
    flag("--optimizer", RESULT, choices=("adamw", "muon"), default=optimizer, help="default %(default)s")
    flag("--learning_rate", type=positive)
    flag("--schedule", choices=("wsd", "cosine"), default="wsd", help="default %(default)s")
    flag("--warmup_steps", type=count)
    flag("--weight_decay", RESULT, type=nonnegative, default=weight_decay, help="default %(default)s")
    flag("--adam_beta2", RESULT, type=fraction, default=0.95, help="AdamW's second beta (%(default)s)")
    flag("--grad_clip", RESULT, type=nonnegative, default=1.0, help="0 for none (%(default)s)")


def add_run_arguments(parser: StageParser, weight_name: str, name_flag: str = "weight_name") -> None:
    """`weight_name`: the default of --`name_flag`, which names the weight that the stage writes."""
    folder = "<out_dir>/lora" if name_flag == "lora_name" else "<out_dir>"
    flag, named = parser.flags("run", NOTHING), {"dest": "weight_name", "default": weight_name, "type": file_name}
    flag("--out_dir", default="out", help="default %(default)s")
    flag(f"--{name_flag}", metavar="NAME", help=f"writes {folder}/<{name_flag}>_<hidden>.pth (%(default)s)", **named)
    flag("--resume", action="store_true", help="go on where this run stopped, bit for bit")
    flag("--allow_changed", action="store_true", help="--resume with other epochs, rates, precision, ...")
    flag("--dry_run", action="store_true", help="show the plan, take a step (compiled: up to three), write nothing")
    flag("--save_interval", type=positive_int, default=100, help="steps (%(default)s)")
    flag("--log_interval", type=positive_int, default=10, help="steps (%(default)s)")
    flag("--eval_interval", type=count, help="steps between validations, 0 for none (about 20 a run)")
    flag("--sample_interval", type=count, help="steps between samples, 0 for none (about 5 a run)")
    flag("--histograms", action="store_true", help="weights and gradients in TensorBoard")
    flag("--tracker", choices="tensorboard wandb swanlab trackio".split(), default="tensorboard", help="logs there too")
    flag("--tracker_project", metavar="NAME", default="sprout", help="project there (%(default)s)")
    flag("--seed", RESULT, type=count, default=42, help="default %(default)s")
    flag("--device", COMPARED, default="auto", help="auto, cpu, cuda, cuda:1, mps")
    flag("--dtype", COMPARED, choices=("auto", "float32", "bfloat16", "float16"), default="auto")
    flag("--deterministic", COMPARED, action="store_true", help="the same bits every time on a GPU too, but slower")
    flag("--compile", COMPARED, choices=("auto", "on", "off"), default="auto", help="torch.compile (%(default)s)")


def add_size_arguments(add) -> None:
    """add: a `Flags`, or the `add_argument` of a parser."""
    for name in SIZE_FLAGS:
        add(f"--{name}", type=positive_int, metavar="N")


def size_overrides(args) -> dict:
    """The sizes and switches that the command line names, as `TransformerConfig` fields."""
    names = "rope_theta rms_norm_eps qk_norm attention_bias tie_word_embeddings norm_topk_prob router_aux_loss_coef"
    return {name: value for name in (*SIZE_FLAGS, *names.split()) if (value := getattr(args, name, None)) is not None}
