"""What to do with the weight of a run that has ended."""

import shlex

# By stage: what tries its weight, and finds it by its own name.
TRY = {
    "pretrain": "eval_model.py --model_mode 0",
    "full_sft": "eval_model.py --model_mode 1",
    "lora": "eval_model.py --model_mode 1",
    "dpo": "eval_model.py --model_mode 2",
    "reason": "eval_model.py --model_mode 3",
    "reward": "scripts/score.py --prompt 'What is the capital of France?' --answer 'Paris.' --answer 'Go away.'",
    "distill": "eval_model.py --model_mode 1 --weight distill",
    "grpo": "eval_model.py --weight grpo",
    "ppo": "eval_model.py --weight ppo",
}
# What usually comes next, and begins with it.
THEN = {"pretrain": "train_full_sft.py", "full_sft": "train_dpo.py"}


def next_commands(stage: str, args) -> list[str]:
    """A line of commands to paste, for a stage that was called with `args`; none for a stage of another project."""
    if stage not in TRY:
        return []
    folder = [] if args.out_dir == "out" else ["--out_dir", args.out_dir]
    name, adapters = args.weight_name, getattr(args, "lora", False)
    weight = ["--lora" if adapters else "--weight", name] if adapters or name != stage else []
    commands = [f"python {TRY[stage]}{_words(weight + folder)}"]
    if stage in THEN and not adapters:
        begins = [] if name == stage else ["--from_weight", name]
        commands.append(f"python {THEN[stage]}{_words(begins + folder)} --data_path FILE")
    return [f"next: {', or '.join(commands)}"]


def _words(words: list[str]) -> str:
    return f" {shlex.join(words)}" if words else ""
