"""The short runs of all stages, and of what else no measurement of speed or memory computes on a GPU."""

from dataclasses import dataclass

from scripts.benchmark.gpu.sizes import Sizes
from scripts.benchmark.program import run_program

QUIET = "--accumulation_steps 1 --eval_interval 0 --sample_interval 0 --save_interval 1000000 --log_interval 1"
QUIET += " --val_ratio 0 --compile off"
STEPS = f"{QUIET} --batch_size 4 --max_steps 5 --epochs 100"
ODD = f"{QUIET} --epochs 2"  # the micro-batch is chosen so that an epoch ends with a smaller one
START = "--from_weight {files}/start.pth"
TEXTS = "train_pretrain.py", f"--data_path {{files}}/texts.jsonl --max_seq_len 128 {START}"
CHATS = "train_full_sft.py", f"--data_path {{files}}/chats.jsonl --max_seq_len 256 {START}"
PAIRS = f"--data_path {{files}}/pairs.jsonl --max_seq_len 256 {START} {STEPS}"
ANSWERS = f"--data_path {{files}}/prompts.jsonl --max_seq_len 256 {START} {STEPS} --max_new_tokens 24"
TEACHER = f"{CHATS[1]} {STEPS} --teacher_weight {{files}}/teacher.pth"


@dataclass(frozen=True)
class StageRun:
    """A run of `script` with the flags `words` and `variant`; `{files}` stands for the folder of `stage_files`.

    variant: flags that change how something is computed, and not what. compared: the losses of each step must be
    those of a CPU in float32, without the variant. odd: the last micro-batch of an epoch has fewer rows.
    skips: it may leave out the updates of some steps. alone: it needs a process in which nothing has run before.
    compiles: it takes longer.
    """

    name: str
    script: str
    words: str
    variant: str = ""
    compared: bool = False
    odd: bool = False
    skips: bool = False
    alone: bool = False
    compiles: bool = False


def stage_runs(sizes: Sizes) -> list[StageRun]:
    """The most important first: what a run with default flags does, then what flags ask for."""
    shape = sizes.shapes["tiny"]
    new = f"--data_path {{files}}/texts.jsonl --max_seq_len 128 {shape} {STEPS}"
    whole = f"{new} --val_ratio 0.2 --eval_interval 2 --sample_interval 4"

    def odd(name: str, kind: tuple[str, str], variant: str = "", compared: bool = True, **more) -> StageRun:
        script, words = kind
        return StageRun(name, script, f"{words} {ODD}", variant, compared, odd=True, **more)

    experts = "train_pretrain.py", f"--data_path {{files}}/texts.jsonl --max_seq_len 128 {shape} --num_experts 4"
    lora = "train_lora.py", f"{CHATS[1]} --lora_dropout 0.1"
    compact = "--optimizer_memory compact --dtype bfloat16"  # before Ampere, a run by itself would take float16
    compiled = f"--compile {'off' if sizes.flags else 'on'}"
    return [
        StageRun("pretraining, validation, samples", "train_pretrain.py", whole, compared=True),
        odd("pretraining, an odd end of epochs", TEXTS),
        StageRun("fine-tuning", CHATS[0], f"{CHATS[1]} {STEPS}", compared=True),
        odd("fine-tuning, an odd end of epochs", CHATS),
        odd("LoRA with dropout, an odd end of epochs", lora, compared=False),
        StageRun("DPO", "train_dpo.py", PAIRS),
        StageRun("DPO, live reference", "train_dpo.py", f"{PAIRS} --no_precompute_ref"),
        StageRun("KTO", "train_dpo.py", f"{PAIRS} --loss_type kto"),
        StageRun("reward model", "train_reward.py", PAIRS),
        StageRun(
            "PPO",
            "train_ppo.py",
            f"{ANSWERS} --reward_weight {{files}}/reward.pth --critic_warmup 1 --mini_batches 2",
            skips=True,
        ),
        StageRun("GRPO", "train_grpo.py", f"{ANSWERS} --reward {{files}}/reward.py:letters --group_size 4"),
        StageRun("distillation", "train_distill.py", TEACHER),
        StageRun("distillation, on-policy", "train_distill.py", f"{TEACHER} --on_policy 0.5 --max_new_tokens 24"),
        StageRun("reasoning", "train_reason.py", f"{CHATS[1]} {STEPS}".replace("chats", "thoughts"), compared=True),
        StageRun(
            "answers of a running batch", "scripts/benchmark/gpu/stage_answers.py", "--weight_path {files}/start.pth"
        ),
        StageRun(
            "evaluation", "eval_model.py", "--weight_path {files}/start.pth --data_path {files}/chats.jsonl --json"
        ),
        odd(f"pretraining in {sizes.half}", TEXTS, f"--dtype {sizes.half}", compared=False, skips=True),
        odd("pretraining with experts", experts),
        odd("activation checkpointing, layers", TEXTS, "--activation_checkpointing layers"),
        odd("activation checkpointing, cheap", TEXTS, "--activation_checkpointing cheap"),
        odd("compact optimizer", TEXTS, compact),
        odd("compact optimizer, offloaded", TEXTS, f"{compact} --offload_states"),
        odd("AdamW, compact", (TEXTS[0], f"{TEXTS[1]} --optimizer adamw"), compact),
        odd("pretraining, deterministic", TEXTS, "--deterministic", alone=True),
        odd("pretraining, compiled", TEXTS, compiled, alone=True, compiles=True),
    ]


if __name__ == "__main__":
    run_program(__doc__)
