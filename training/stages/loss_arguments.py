"""The flags of single stages, which set their losses; those of all stages are in `training/stages/arguments.py`."""

from model.errors import UsageError
from training.stages.arguments import StageParser, add_switch, fraction, nonnegative, positive, positive_int, share

# Of preferences; each is a function in training/losses/preference.py.
LOSS_TYPES = ("sigmoid", "sigmoid_norm", "hinge", "ipo", "robust", "cdpo", "apo_zero", "simpo", "orpo")

REWARD_LOSS_TYPES = ("bt", "hinge", "mse")  # functions in training/losses/reward.py

DIVERGENCES = ("forward_kl", "reverse_kl", "jsd")  # training/losses/distillation.py


# The losses that a flag is for, where it is not for all.
LOSSES_OF = {
    "label_smoothing": ("cdpo", "robust"),
    "gamma": ("simpo",),
    "odds_weight": ("orpo",),
    "center": ("bt",),
    "hinge_margin": ("hinge",),
    "jsd_beta": ("jsd",),
}


def refuse_unused(parser: StageParser, args, loss_type: str) -> None:
    """Raises `UsageError` for a flag that was given and means nothing to the loss: it would be missed in silence."""
    for name, losses in LOSSES_OF.items():
        if hasattr(args, name) and loss_type not in losses and getattr(args, name) != parser.get_default(name):
            raise UsageError(
                f"--{name} means nothing to --loss_type {loss_type}: it is for {' and '.join(losses)}, so drop it or"
                " choose such a loss"
            )


def add_preference_arguments(parser: StageParser) -> None:
    group = parser.add_argument_group("preference")
    group.add_argument("--loss_type", choices=LOSS_TYPES, default="sigmoid", help="default %(default)s")
    group.add_argument("--beta", type=positive, default=0.1, help="how closely to keep to the reference (%(default)s)")
    group.add_argument("--label_smoothing", type=fraction, default=0.0, help="robust, cdpo: share of wrong labels")
    group.add_argument("--gamma", type=nonnegative, default=0.5, help="simpo: margin of the rewards (%(default)s)")
    group.add_argument("--odds_weight", type=nonnegative, default=1.0, help="orpo: weight of the odds (%(default)s)")
    group.add_argument("--sft_weight", type=nonnegative, default=0.0, help="of the chosen answers' loss, beside it")
    add_switch(group, "precompute_ref", "reference log-probabilities once, before training (default)", default=True)


def add_reward_arguments(parser: StageParser) -> None:
    group = parser.add_argument_group("reward")
    group.add_argument(
        "--loss_type", choices=REWARD_LOSS_TYPES, help="bt or hinge for pairs (bt), mse for scored answers"
    )
    group.add_argument("--hinge_margin", type=nonnegative, default=1.0, metavar="M", help="hinge: M (%(default)g)")
    group.add_argument(
        "--center", type=nonnegative, default=0.01, metavar="X", help="bt: keeps rewards near zero (%(default)g)"
    )


def add_reason_arguments(parser: StageParser) -> None:
    group = parser.add_argument_group("reasoning")
    group.add_argument(
        "--tag_weight", type=positive, default=1.0, help="of <think> and </think> in the loss (%(default)g)"
    )


def add_distillation_arguments(parser: StageParser) -> None:
    group = parser.add_argument_group("distillation")
    group.add_argument(
        "--teacher_weight",
        metavar="NAME|FILE|FOLDER",
        default="full_sft",
        help="a name in --out_dir, a .pth, or an HF folder, with the student's tokenizer (%(default)s)",
    )
    group.add_argument("--loss_type", choices=DIVERGENCES, default="forward_kl", help="default %(default)s")
    group.add_argument("--alpha", type=share, default=0.5, help="weight of the hard labels, 0 to 1 (%(default)s)")
    group.add_argument("--temperature", type=positive, default=1.0, help="softens both predictions (%(default)s)")
    group.add_argument("--jsd_beta", type=fraction, default=0.5, help="jsd: share of the teacher (%(default)s)")
    group.add_argument("--teacher_top_k", type=positive_int, metavar="K", help="ask once, and keep K tokens on disk")
    group.add_argument("--on_policy", type=share, default=0.0, metavar="SHARE", help="of steps: sampled answers (0)")
    group.add_argument("--max_new_tokens", type=positive_int, default=128, help="of a sampled answer (%(default)s)")
