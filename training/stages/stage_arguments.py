"""The flags of single stages: their losses, and adapters. Those of all stages are in `training/stages/arguments.py`."""

from dataset.command_line import add_switch, fraction, nonnegative, positive, positive_int, share
from model.errors import UsageError
from training.stages.arguments import COMPARED, RESULT, StageParser

# The preference losses; each is a function in training/losses/preference.py, and kto in training/losses/kto.py.
OF_PAIRS = ("sigmoid", "sigmoid_norm", "hinge", "ipo", "robust", "cdpo", "apo_zero", "simpo", "orpo")
LOSS_TYPES = (*OF_PAIRS, "kto")

REWARD_LOSS_TYPES = ("bt", "hinge", "mse")  # functions in training/losses/reward.py
CENTER = 0.01  # of bt

DIVERGENCES = ("forward_kl", "reverse_kl", "jsd")  # training/losses/distillation.py

CLIPPED = ("dapo", "grpo", "bnpo", "dr_grpo", "gspo")
POLICY_LOSSES = (*CLIPPED, "cispo", "sapo")  # training/losses/policy.py

# The losses that use a flag, for the flags that only some losses use.
LOSSES_OF = {
    "beta": tuple(name for name in LOSS_TYPES if name != "orpo"),
    "precompute_ref": tuple(name for name in LOSS_TYPES if name not in ("simpo", "orpo")),
    "label_smoothing": ("cdpo", "robust"),
    "gamma": ("simpo",),
    "odds_weight": ("orpo",),
    "sft_weight": OF_PAIRS,
    "desirable_weight": ("kto",),
    "undesirable_weight": ("kto",),
    "center": ("bt",),
    "hinge_margin": ("hinge",),
    "jsd_beta": ("jsd",),
    "clip_low": CLIPPED,
    "clip_high": CLIPPED,
    "dual_clip": CLIPPED,
    "cispo_cap": ("cispo",),
}


def refuse_unused(parser: StageParser, args, loss_type: str) -> None:
    """Raises `UsageError` for a given flag that the loss does not use, instead of ignoring it silently."""
    for name, losses in LOSSES_OF.items():
        if hasattr(args, name) and loss_type not in losses and getattr(args, name) != parser.get_default(name):
            *others, last = losses
            users = f"{', '.join(others)} and {last}" if others else last
            flag = f"--no_{name}" if getattr(args, name) is False else f"--{name}"
            raise UsageError(
                f"{flag} means nothing to --loss_type {loss_type}: it is for {users}, so drop it or choose such a loss"
            )


def add_chat_arguments(parser: StageParser) -> None:
    parser.flags("data", COMPARED)(
        "--first_turn", action="store_true", help="keep only the first question and answer of a conversation"
    )


LORA_DEFAULTS = {"lora_rank": 16, "lora_alpha": 32.0, "lora_dropout": 0.0, "lora_targets": ["all"]}


def add_lora_arguments(parser: StageParser, always: bool = False) -> None:
    """`always`: the stage trains adapters only; other stages do so with --lora."""
    flag = parser.flags("adapters" if always else "adapters, trained instead of the network", COMPARED)
    if always:
        parser.set_defaults(lora=True)
    else:
        flag(
            "--lora", action="store_true", help="train them by AdamW; writes <out_dir>/lora/<weight_name>_<hidden>.pth"
        )
        parser.set_defaults_under("lora", optimizer="adamw")
    rank, alpha, dropout, targets = LORA_DEFAULTS.values()
    flag("--lora_rank", type=positive_int, default=rank, metavar="N", help="default %(default)s")
    flag("--lora_alpha", type=positive, default=alpha, metavar="X", help="scale x rank (%(default)g)")
    flag("--lora_dropout", type=fraction, default=dropout, metavar="P", help="default %(default)g")
    flag(
        "--lora_targets",
        nargs="+",
        default=targets,
        metavar="LAYER",
        help="all, attention, mlp, or names such as q_proj (all)",
    )


def add_preference_arguments(parser: StageParser) -> None:
    flag = parser.flags("preference", RESULT)
    flag("--loss_type", choices=LOSS_TYPES, default="sigmoid", help="default %(default)s")
    flag("--beta", type=positive, default=0.1, help="how closely to keep to the reference (%(default)s)")
    flag("--label_smoothing", type=fraction, default=0.0, help="robust, cdpo: share of wrong labels")
    flag("--gamma", type=nonnegative, default=0.5, help="simpo: margin of the rewards (%(default)s)")
    flag("--odds_weight", type=nonnegative, default=1.0, help="orpo: weight of the odds (%(default)s)")
    flag("--sft_weight", type=nonnegative, default=0.0, help="weight of fine-tuning on the chosen answers (0)")
    flag("--desirable_weight", type=positive, metavar="X", help="kto: weight of good answers (1; more if few)")
    flag("--undesirable_weight", type=positive, metavar="X", help="kto: weight of bad answers (1; more if few)")
    add_switch(flag, "precompute_ref", "compute the reference once (default)", True, decides=COMPARED)


def add_reward_arguments(parser: StageParser) -> None:
    flag = parser.flags("reward", RESULT)
    flag("--loss_type", choices=REWARD_LOSS_TYPES, help="bt or hinge for pairs (bt), mse for scored answers")
    flag("--hinge_margin", type=nonnegative, default=1.0, metavar="M", help="hinge: M (%(default)g)")
    flag("--center", type=nonnegative, default=CENTER, metavar="X", help="bt: keeps rewards near zero (%(default)g)")


def add_reason_arguments(parser: StageParser) -> None:
    flag = parser.flags("reasoning", RESULT)
    flag("--tag_weight", type=positive, default=1.0, help="weight of <think> and </think> in the loss (%(default)g)")


def add_distillation_arguments(parser: StageParser) -> None:
    flag = parser.flags("distillation", RESULT)
    flag(
        "--teacher_weight",
        COMPARED,
        metavar="NAME|FILE|FOLDER",
        default="full_sft",
        help="a name in --out_dir, a .pth, or an HF folder, with the student's tokenizer (%(default)s)",
    )
    flag("--loss_type", choices=DIVERGENCES, default="forward_kl", help="default %(default)s")
    flag("--alpha", type=share, default=0.5, help="weight of the hard labels, 0 to 1 (%(default)s)")
    flag("--temperature", type=positive, default=1.0, help="softens both predictions (%(default)s)")
    flag("--jsd_beta", type=fraction, default=0.5, help="jsd: share of the teacher (%(default)s)")
    flag("--teacher_top_k", COMPARED, type=positive_int, metavar="K", help="run it once, keep its K likeliest tokens")
    flag("--on_policy", type=share, default=0.0, metavar="SHARE", help="share of steps with sampled answers (0)")
    flag("--max_new_tokens", type=positive_int, default=128, help="limit of a sampled answer (%(default)s)")
