"""Flags of the stages that learn from their own answers."""

from dataset.command_line import count, nonnegative, positive, positive_int, share
from inference.arguments import above_zero
from model.errors import UsageError
from training.stages.arguments import COMPARED, NOTHING, RESULT, StageParser
from training.stages.stage_arguments import POLICY_LOSSES

CLIP = 0.2  # in PPO, of ratios and of values


def add_rollout_arguments(parser: StageParser, mini_batches: int = 1) -> None:
    flag = parser.flags("rollouts", RESULT)
    flag("--prompts_per_step", COMPARED, type=positive_int, metavar="N", help="default 32, or what --batch_size makes")
    flag("--max_new_tokens", type=positive_int, default=128, metavar="N", help="limit of an answer (%(default)s)")
    flag("--temperature", type=above_zero, default=1.0, help="for sampling and for learning (%(default)g)")
    flag(
        "--mini_batches",
        type=positive_int,
        default=mini_batches,
        metavar="N",
        help="updates in a pass over the answers (%(default)s)",
    )
    flag("--inner_epochs", type=positive_int, metavar="N", default=1, help="passes over them (%(default)s)")
    flag("--table_rows", NOTHING, type=count, default=3, metavar="N", help="prompts in the table of samples (3)")
    flag = parser.flags("against forgetting", RESULT)
    flag("--ptx_weight", type=nonnegative, default=0.0, metavar="X", help="weight of the loss on --ptx_path (0)")
    flag("--ptx_path", COMPARED, nargs="+", metavar="FILE[:WEIGHT]", help="conversations or texts (the sample's)")


def add_grpo_arguments(parser: StageParser) -> None:
    flag = parser.flags("rewards and groups", RESULT)
    flag(
        "--reward",
        COMPARED,
        nargs="+",
        action="extend",
        metavar="NAME[:WEIGHT]",
        help="exact, format, ..., or file.py:function[:weight] (docs/rewards.md; default exact)",
    )
    flag("--group_size", type=positive_int, default=8, metavar="G", help="answers to a prompt (%(default)s)")
    flag("--tools", COMPARED, nargs="+", metavar="NAME|file.py", help="tools that answers may call (docs/tools.md)")
    flag("--max_turns", type=positive_int, default=4, metavar="N", help="turns of an answer with tools (%(default)s)")
    flag("--loss_type", choices=POLICY_LOSSES, default="dapo", help="default %(default)s")
    flag("--scale_rewards", choices=("group", "batch", "none"), default="group", help="deviation to divide by (group)")
    flag("--clip_low", type=positive, metavar="X", help="how far rho may fall below 1 (0.2; gspo: 0.0003)")
    flag("--clip_high", type=positive, metavar="X", help="how far rho may rise above 1 (0.2; gspo: 0.0004)")
    flag("--dual_clip", type=positive, metavar="X", help="the largest rho that counts where A < 0 (none)")
    flag(
        "--cispo_cap", type=positive, default=5.0, metavar="X", help="cispo: the largest rho that counts (%(default)g)"
    )
    flag("--kl_coef", type=nonnegative, default=0.0, metavar="X", help="weight of the KL to the reference (0)")
    flag("--mask_truncated", action="store_true", help="do not learn from answers that --max_new_tokens truncates")
    flag("--dynamic_sampling", type=count, default=0, metavar="N", help="replace groups of equal rewards, N times (0)")


def add_ppo_arguments(parser: StageParser) -> None:
    flag = parser.flags("reward model and critic", RESULT)
    flag(
        "--reward_weight",
        COMPARED,
        metavar="NAME|FILE|FOLDER",
        default="reward",
        help="the reward model: a name in --out_dir, a .pth, or an HF folder (%(default)s)",
    )
    flag(
        "--watch",
        NOTHING,
        nargs="+",
        default=[],
        metavar="NAME",
        help="rewards to measure beside its score, not to learn from: exact, file.py:function (docs/rewards.md)",
    )
    flag("--critic_warmup", type=count, default=10, metavar="N", help="steps of the critic alone (%(default)s)")
    flag(
        "--critic_rate",
        type=positive,
        default=2.0,
        metavar="X",
        help="its learning rate, over that of the policy; with --lora, over the default without it (2)",
    )
    flag("--gamma", type=share, default=1.0, help="discount (%(default)g)")
    flag("--gae_lambda", type=share, default=0.95, help="default %(default)g")
    flag("--clip", type=positive, default=CLIP, metavar="X", help="how far rho may leave 1 (%(default)g)")
    flag("--clip_value", type=positive, default=CLIP, metavar="X", help="how far a value may move (%(default)g)")
    flag(
        "--no_end_penalty", type=nonnegative, default=1.0, metavar="X", help="for answers without an end (%(default)g)"
    )
    flag = parser.flags("how far the policy may go", RESULT)
    flag("--kl_coef", type=nonnegative, default=0.1, metavar="X", help="weight of the KL in the reward (%(default)g)")
    flag("--kl_target", type=positive, metavar="NATS", help="let --kl_coef follow, for so much KL an answer")
    flag(
        "--stop_kl", NOTHING, type=nonnegative, default=15.0, metavar="NATS", help="stop there; 0: never (%(default)g)"
    )
    flag(
        "--stop_entropy",
        NOTHING,
        type=share,
        default=0.3,
        metavar="X",
        help="stop below X x first entropy (%(default)g)",
    )
    flag("--stop_cut", NOTHING, type=share, default=0.3, metavar="X", help="stop if more are truncated (%(default)g)")


def refuse_contradictions(args) -> None:
    """Raises `UsageError` for flags that contradict each other."""
    if getattr(args, "group_size", None) == 1:
        raise UsageError("--group_size 1 compares an answer with no other, so nothing is learned: give 2 or more")
    if args.max_new_tokens >= args.max_seq_len:
        raise UsageError(
            f"--max_new_tokens {args.max_new_tokens} leaves no room for a prompt in --max_seq_len {args.max_seq_len}"
        )
    if args.lora_dropout:
        raise UsageError(
            "--lora_dropout would score answers by another network than the one that sampled them: drop it"
        )
    if getattr(args, "kl_target", None) and not args.kl_coef:
        raise UsageError("--kl_target scales --kl_coef, which is 0 and would stay 0: begin with one above 0")
    if getattr(args, "ptx_path", None) and not args.ptx_weight:
        raise UsageError("--ptx_path is for --ptx_weight, which is 0")
