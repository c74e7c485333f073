"""The command that comes after a stage, to be pasted: with the folder and the weight of the run that ended."""

from pathlib import Path

from training.report.going_on import command_of

# By stage: the script, its flags, the flag that names the weight, and the name of the weight that it takes without it.
_NEXT = {
    "pretrain": ("train_full_sft.py", (), "--from_weight", "pretrain_512"),
    "full_sft": ("eval_model.py", ("--model_mode", "1"), "--weight_path", "full_sft_512"),
    "lora": ("eval_model.py", ("--model_mode", "1"), "--lora", None),
    "dpo": ("eval_model.py", ("--model_mode", "2"), "--weight_path", "dpo_512"),
    "reason": ("eval_model.py", ("--model_mode", "3"), "--weight_path", "reason_512"),
    "distill": ("eval_model.py", ("--model_mode", "1"), "--weight_path", None),
    "grpo": ("eval_model.py", ("--model_mode", "1"), "--weight_path", None),
    "ppo": ("eval_model.py", ("--model_mode", "1"), "--weight_path", None),
    "reward": ("scripts/score.py", ("--prompt", "Who are you?", "--answer", "A fox."), "--weight_path", None),
}


def next_command(stage: str | None, metrics: Path) -> str | None:
    """The command after a run of `stage` that wrote `metrics`, <out_dir>/logs/<weight>/metrics.jsonl; None: none."""
    if stage not in _NEXT:
        return None
    script, flags, of_weight, default = _NEXT[stage]
    name, folder = metrics.parent.name, metrics.parent.parent.parent
    weight = folder / f"{name}.pth"
    if not weight.exists():  # the logs alone were copied here
        return command_of(script, *flags)
    out_dir = folder.parent if stage == "lora" else folder
    words = () if (name, out_dir) == (default, Path("out")) else (of_weight, weight)
    writes = () if not script.startswith("train_") or out_dir == Path("out") else ("--out_dir", out_dir)
    return command_of(script, *flags, *words, *writes)
