"""Flags of the stages that learn from their own answers."""

from dataset.command_line import count, nonnegative, positive, positive_int
from training.stages.arguments import COMPARED, NOTHING, RESULT, StageParser

GRPO_LOSSES = ("dapo", "grpo", "bnpo", "dr_grpo", "cispo", "gspo", "sapo")  # training/losses/policy.py


def add_rollout_arguments(parser: StageParser) -> None:
    flag = parser.flags("rollouts", RESULT)
    flag("--prompts_per_step", COMPARED, type=positive_int, default=32, metavar="N", help="default %(default)s")
    flag("--max_new_tokens", COMPARED, type=positive_int, default=128, metavar="N", help="of an answer (%(default)s)")
    flag("--temperature", type=positive, default=1.0, help="of sampling, and of what is learned (%(default)g)")
    flag("--mini_batches", type=positive_int, metavar="N", default=1, help="parts of the answers, an update each (1)")
    flag("--inner_epochs", type=positive_int, metavar="N", default=1, help="passes over the answers (%(default)s)")
    flag("--clip_low", type=positive, metavar="X", help="how far rho may fall below 1 and still learn")
    flag("--clip_high", type=positive, metavar="X", help="how far rho may rise")
    flag("--table_rows", NOTHING, type=count, default=3, metavar="N", help="prompts in the table of samples (3)")


def add_grpo_arguments(parser: StageParser) -> None:
    flag = parser.flags("rewards and groups", RESULT)
    flag(
        "--reward",
        nargs="+",
        action="extend",
        metavar="NAME[:WEIGHT]",
        help="exact, format, ..., or file.py:function[:weight] (docs/rewards.md; default exact)",
    )
    flag("--group_size", COMPARED, type=positive_int, default=8, metavar="G", help="answers to a prompt (%(default)s)")
    flag("--loss_type", choices=GRPO_LOSSES, default="dapo", help="default %(default)s")
    flag("--scale_rewards", choices=("group", "batch", "none"), default="group", help="divide by which deviation")
    flag("--kl_coef", type=nonnegative, default=0.0, metavar="X", help="weight of the KL to the first policy (0)")
    flag("--mask_truncated", action="store_true", help="answers that --max_new_tokens cuts are not learned from")
    flag("--overlong", type=count, default=0, metavar="N", help="punish the last N of --max_new_tokens softly (0)")
    flag("--dynamic_sampling", type=count, default=0, metavar="N", help="N times other prompts for equal rewards (0)")
