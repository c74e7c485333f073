"""The command line that all stages share: grouped flags, helpful errors, defaults from a YAML file."""

import argparse
import os
import sys

from dataset.command_line import CommandParser
from dataset.command_line import run_main as run_main  # for the scripts
from model.config import PRESETS, TransformerConfig, preset
from model.errors import UsageError

SIZE_FLAGS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "intermediate_size",
    "head_dim",
    "max_position_embeddings",
)

LORA_DEFAULTS = {"lora_rank": 16, "lora_alpha": 32.0, "lora_dropout": 0.0, "lora_targets": ["all"]}

LARGEST = 2**31 - 1  # of whole numbers; real work needs far less


class StageParser(CommandParser):
    """A parser for one stage; `description` is the stage script's docstring.

    `--config FILE.yaml` gives defaults under the flags' own names; what stands on the command line wins.
    """

    def __init__(self, description: str | None = None):
        super().__init__(description, usage="%(prog)s [flags]")  # the groups say it better than a block of brackets
        self.add_argument("--config", metavar="FILE.yaml", help="flags from a YAML file; the command line wins")
        self._defaults_under: dict[str, dict] = {}  # by switch

    def set_defaults_under(self, switch: str, **defaults) -> None:
        """Other defaults where `switch` is given."""
        self._defaults_under[switch] = defaults

    def parse_args(self, args=None, namespace=None):
        args, given = sys.argv[1:] if args is None else list(args), []
        known = super().parse_args(args, namespace)
        if known.config:
            given = self._read_config(known.config)
            try:
                self.parse_known_args(given)
            except UsageError as error:
                raise UsageError(f"--config {known.config}: {error}") from None
            known = super().parse_args(given + args, namespace)  # of a flag given twice, the last counts
        for switch, defaults in self._defaults_under.items():
            if getattr(known, switch):
                self.set_defaults(**defaults)
                known = super().parse_args(given + args, namespace)
        return known

    def _read_config(self, path: str) -> list[str]:
        """The flags of a YAML file, as they would stand on the command line."""
        import yaml  # here, so that --help stays fast

        try:
            with open(path, encoding="utf-8") as file:
                values = yaml.safe_load(file)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UsageError(f"--config {path} cannot be read: {' '.join(str(error).split())}") from error
        if not isinstance(values, dict):
            raise UsageError(f"--config {path} must hold lines of the form `flag: value`")
        actions = {
            option.removeprefix("--"): action
            for action in self._actions
            for option in action.option_strings
            if action.dest not in ("help", "config") and not option.startswith("--no_")
        }
        words = []
        for name, value in values.items():
            if name not in actions:
                raise UsageError(f"--config {path}: {self.unknown_flag('--' + str(name))}")
            words += self._as_on_command_line(name, actions[name], value, path)
        return words

    def _as_on_command_line(self, name, action, value, path) -> list[str]:
        flag = f"--{name}"
        if action.nargs == 0:  # a switch
            if not isinstance(value, bool):
                raise UsageError(f"--config {path}: {name} is a switch: true or false, not {value!r}")
            off = f"--no_{name}"
            return [flag] if value else [off] if off in self._option_string_actions else []
        if isinstance(value, bool) and action.choices:  # YAML takes on and off for true and false
            value = "on" if value else "off"
        if value is None or isinstance(value, dict) or (isinstance(value, list) and action.nargs is None):
            raise UsageError(f"--config {path}: {name} takes one value, not {value!r}")
        if "\0" in str(value):  # which no command line can hold
            raise UsageError(f"--config {path}: {name} contains a NUL character")
        return [flag, *map(str, value)] if isinstance(value, list) else [f"{flag}={value}"]


def positive_int(text: str) -> int:
    """A whole number of at least 1 (for argparse)."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a whole number of at least 1")
    return not_too_large(value)


def count(text: str) -> int:
    """A whole number of at least 0 (for argparse)."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is negative")
    return not_too_large(value)


def not_too_large(value: int) -> int:
    if value > LARGEST:
        raise argparse.ArgumentTypeError(f"{value} is more than {LARGEST}")
    return value


def nonnegative(text: str) -> float:
    """A finite number of at least 0, as float32 has them (for argparse)."""
    value = float(text)
    if not 0 <= value < 3.4e38:
        raise argparse.ArgumentTypeError(f"{text} is not a finite number of at least 0")
    return value


def positive(text: str) -> float:
    """A finite number above 0 (for argparse)."""
    value = nonnegative(text)
    if value == 0:
        raise argparse.ArgumentTypeError("0 is not allowed here")
    return value


def fraction(text: str) -> float:
    """A number from 0 up to but not including 1 (for argparse)."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def share(text: str) -> float:
    """A number from 0 to 1 (for argparse)."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def file_name(text: str) -> str:
    """A name that files are called by, with no folder in it: what is written stays in its folder (for argparse)."""
    plain = text.isprintable() and not set(text) & set('/\\:*?"<>|') and text not in ("", ".", "..")
    if not plain or len(os.fsencode(text)) > 150:  # a file name of 255 bytes has to hold more than it
        shown = text if len(text) <= 60 else text[:57] + "..."
        raise argparse.ArgumentTypeError(f"{shown!r} is not a plain name: give up to 150 letters and digits, no folder")
    return text


for _type, _name in ((positive_int, "whole number"), (count, "whole number"), (nonnegative, "number")):
    _type.__name__ = _name  # argparse says "invalid <name> value"
positive.__name__ = fraction.__name__ = share.__name__ = "number"


def add_switch(group, name: str, meaning: str, default: bool | None = None) -> None:
    """`--name` turns something on and `--no_name` off; None leaves it to what the run begins with."""
    group.add_argument(f"--{name}", dest=name, action="store_true", default=default, help=meaning)
    group.add_argument(f"--no_{name}", dest=name, action="store_false", default=default, help=argparse.SUPPRESS)


def add_data_arguments(parser: StageParser, what: str, max_seq_len: int = 512) -> None:
    """`what` names the accepted files in the help, say 'texts (.jsonl, .jsonl.gz, .parquet, .txt)'."""
    group = parser.add_argument_group("data")
    group.add_argument("--data_path", nargs="+", metavar="FILE[:WEIGHT]", help=what)
    group.add_argument("--val_path", nargs="+", metavar="FILE", help="validation files (default: a part of the data)")
    group.add_argument("--val_ratio", type=fraction, default=0.01, help="share of documents held out (%(default)s)")
    group.add_argument("--max_seq_len", type=positive_int, default=max_seq_len, help="tokens in a row (%(default)s)")
    group.add_argument("--on_bad_line", choices=("stop", "skip"), default="stop", help="default %(default)s")
    group.add_argument("--tokenizer_path", metavar="FOLDER", help="default: that of the weight, or the shipped one")


def add_model_arguments(parser: StageParser, start_from: str | None) -> None:
    """`start_from`: the weight this stage begins with when nothing is said; None begins a new network."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--from_weight",
        metavar="NAME|FILE|FOLDER",
        default=start_from,
        help="weight to begin with: a name in --out_dir, a .pth, or an HF folder"
        f" (default: {start_from or 'a new network'})",
    )
    group.add_argument("--weight_path", metavar="FILE|FOLDER", help="the same as --from_weight with a path")
    group.add_argument("--preset", help=f"size by name: {', '.join(PRESETS)} (default 26m)")
    for name in SIZE_FLAGS:
        group.add_argument(f"--{name}", type=positive_int, metavar="N")
    group.add_argument("--rope_theta", type=positive, metavar="X")
    group.add_argument("--rope_factor", type=positive, metavar="X", help="stretch positions by YaRN")
    for name, meaning in (
        ("qk_norm", "normalise queries and keys (Qwen3)"),
        ("attention_bias", "biases on q, k, v (Qwen2)"),
        ("tie_word_embeddings", "one matrix for embedding and head"),
    ):
        add_switch(group, name, meaning)
    group.add_argument("--freeze_layers", type=count, default=0, metavar="N", help="train only layers from N on")


def add_lora_arguments(parser: StageParser, always: bool = False) -> None:
    """`always`: the stage trains nothing but adapters; otherwise it does so with --lora."""
    group = parser.add_argument_group("adapters" if always else "adapters, trained instead of the network")
    if always:
        parser.set_defaults(lora=True)
    else:
        group.add_argument(
            "--lora", action="store_true", help="train them by AdamW; writes <out_dir>/lora/<weight_name>_<hidden>.pth"
        )
        parser.set_defaults_under("lora", optimizer="adamw")
    rank, alpha, dropout, targets = LORA_DEFAULTS.values()
    group.add_argument("--lora_rank", type=positive_int, default=rank, metavar="N", help="default %(default)s")
    group.add_argument("--lora_alpha", type=positive, default=alpha, metavar="X", help="scale x rank (%(default)g)")
    group.add_argument("--lora_dropout", type=fraction, default=dropout, metavar="P", help="default %(default)g")
    group.add_argument(
        "--lora_targets",
        nargs="+",
        default=targets,
        metavar="LAYER",
        help="all, attention, mlp, or names such as q_proj (all)",
    )


def add_optimization_arguments(parser: StageParser, optimizer: str, weight_decay: float) -> None:
    group = parser.add_argument_group("optimization (what is not given is chosen by model size and data, and printed)")
    group.add_argument("--epochs", type=positive_int, default=1, help="passes over the data (%(default)s)")
    group.add_argument("--max_steps", type=positive_int, help="end after so many optimizer steps")
    group.add_argument("--batch_size", type=positive_int, help="rows in a micro-batch of one process")
    group.add_argument("--accumulation_steps", type=positive_int, help="micro-batches in an optimizer step")
    group.add_argument("--fit", type=positive, metavar="GB", help="choose the micro-batch to fit into this much memory")
    add_switch(group, "activation_checkpointing", "less memory for a third more time", default=False)
    group.add_argument("--optimizer", choices=("adamw", "muon"), default=optimizer, help="default %(default)s")
    group.add_argument("--learning_rate", type=positive)
    group.add_argument("--schedule", choices=("wsd", "cosine"), default="wsd", help="default %(default)s")
    group.add_argument("--warmup_steps", type=count)
    group.add_argument("--weight_decay", type=nonnegative, default=weight_decay, help="default %(default)s")
    group.add_argument("--adam_beta2", type=fraction, default=0.95, help="AdamW's second beta (%(default)s)")
    group.add_argument("--grad_clip", type=nonnegative, default=1.0, help="0 for none (%(default)s)")


def add_run_arguments(parser: StageParser, weight_name: str, name_flag: str = "weight_name") -> None:
    """`weight_name`: of what the stage writes, unless `name_flag` names it; it is `args.weight_name` in any case."""
    folder = "<out_dir>/lora" if name_flag == "lora_name" else "<out_dir>"
    group = parser.add_argument_group("run")
    group.add_argument("--out_dir", default="out", help="default %(default)s")
    group.add_argument(
        f"--{name_flag}",
        dest="weight_name",
        type=file_name,
        default=weight_name,
        metavar="NAME",
        help=f"writes {folder}/<{name_flag}>_<hidden>.pth (%(default)s)",
    )
    group.add_argument("--resume", action="store_true", help="go on where this run stopped, bit for bit")
    group.add_argument("--allow_changed", action="store_true", help="--resume with other epochs, rates, precision, ...")
    group.add_argument("--dry_run", action="store_true", help="show the plan, take one step, write nothing")
    group.add_argument("--save_interval", type=positive_int, default=100, help="steps (%(default)s)")
    group.add_argument("--log_interval", type=positive_int, default=10, help="steps (%(default)s)")
    group.add_argument("--eval_interval", type=count, help="steps between validations, 0 for none (about 20 a run)")
    group.add_argument("--sample_interval", type=count, help="steps between samples, 0 for none (about 5 a run)")
    group.add_argument("--histograms", action="store_true", help="weights and gradients in TensorBoard")
    group.add_argument("--seed", type=count, default=42, help="default %(default)s")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    group.add_argument("--dtype", choices=("auto", "float32", "bfloat16", "float16"), default="auto")
    group.add_argument("--compile", choices=("auto", "on", "off"), default="auto", help="torch.compile (auto)")


def size_overrides(args) -> dict:
    """The sizes and switches that the command line names, as `TransformerConfig` fields."""
    names = (*SIZE_FLAGS, "rope_theta", "qk_norm", "attention_bias", "tie_word_embeddings")
    return {name: value for name in names if (value := getattr(args, name, None)) is not None}


def new_config(args, vocab_size: int) -> TransformerConfig:
    """The configuration of a new network: a preset, changed by the size flags, with the tokenizer's vocabulary."""
    config = preset(args.preset or "26m").replace(vocab_size=vocab_size, **size_overrides(args))
    return with_rope_factor(config, args.rope_factor)


def with_rope_factor(config: TransformerConfig, factor: float | None) -> TransformerConfig:
    """`config` with its positions stretched `factor` times by YaRN (None: as it is).

    Positions that YaRN stretched before are stretched from their original length, by the product of the factors.
    """
    if factor is None:
        return config
    before = config.rope_scaling or {"rope_type": "yarn", "factor": 1.0}
    if before.get("attention_factor") is not None:
        raise UsageError("--rope_factor cannot stretch this network: it has an attention_factor chosen for its own")
    original = before.get("original_max_position_embeddings") or config.max_position_embeddings
    factor *= before["factor"]
    scaling = before | {"factor": factor, "original_max_position_embeddings": original}
    return config.replace(rope_scaling=scaling, max_position_embeddings=round(original * factor))
