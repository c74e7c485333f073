"""The stages after fine-tuning, on the sample data, each measured before and after: `scripts/quickstart.py --full`.

Every stage begins with the fine-tuned network, except distillation, which trains a smaller one. No stage is measured on
data that it was trained on.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from dataset.sample.manners import count_flawed
from inference.columns import in_columns
from scripts.quickstart_way import Place, Stage
from training.report.going_on import ROOT

ROWS = "--max_seq_len 256"
SMALL_STEPS = "--batch_size 8 --accumulation_steps 1"  # 2,048 tokens a step, because there is little data
TINY_STEPS = "--batch_size 2 --accumulation_steps 1 --freeze_layers 2"

# The docs (lora.md, dpo.md, reward.md, ppo.md, reason.md, grpo.md, distill.md) explain these values and how they were
# found.
LORA = f"{ROWS} {SMALL_STEPS} --val_ratio 0 --max_steps 800 --epochs 40 --learning_rate 0.00025"
RANK, ADAPTED = "--lora_rank 32 --lora_alpha 64", "--model_mode 1 --lora identity --lora_scale 0.94"
BAD_MANNERS = f"{ROWS} {TINY_STEPS} --val_ratio 0 --max_steps 200 --learning_rate 0.0014"
DPO = f"--max_seq_len 256 {TINY_STEPS} --learning_rate 0.0002 --beta 0.4 --sft_weight 1"
REWARD = f"--max_seq_len 128 {SMALL_STEPS} --epochs 2 --learning_rate 0.0005"
PPO = "--max_seq_len 128 --max_new_tokens 48 --prompts_per_step 64 --max_steps 50 --eval_interval 10"
REASON = f"{ROWS} {SMALL_STEPS} --max_steps 200 --epochs 9 --learning_rate 0.0015"
# A step of GRPO makes 192 answers to 24 prompts, or 96 to 12 products, whose prompts hold the tool's schema.
FIRST_THOUGHTS = f"{ROWS} {SMALL_STEPS} --val_ratio 0 --max_steps 200 --epochs 40 --learning_rate 0.0015"
GRPO = "--max_seq_len 256 --max_new_tokens 64 --prompts_per_step 24 --batch_size 2 --kl_coef 0.06 --ptx_weight 1"
GRPO += " --max_steps 400 --epochs 5 --learning_rate 0.00015 --eval_interval 100"
TOOL_START = "--max_seq_len 512 --sample_interval 0 --batch_size 4 --accumulation_steps 1 --val_ratio 0 --epochs 12"
TOOL_START += " --max_steps 600 --learning_rate 0.0015"
TOOLS = "--max_seq_len 512 --max_new_tokens 64 --max_turns 2 --prompts_per_step 12 --ptx_weight 0.1"
TOOLS += " --max_steps 60 --learning_rate 0.00015 --val_ratio 0"
STUDENT = "--preset tiny --hidden_size 128 --num_attention_heads 2 --num_key_value_heads 1 --intermediate_size 352"
STUDENT_TEXTS, STUDENT_CHATS = f"{ROWS} --epochs 2", f"{ROWS} --epochs 2 --learning_rate 0.001"


def stages_after(place: Place) -> list[Stage]:
    """All commands after fine-tuning, in order."""
    rewarded = [*_ppo(place), *_reasoning(place), *_grpo(place), *_tools(place)]
    return [*_lora(place), *_dpo(place), *_reward(place), *rewarded, *_distillation(place)]


def _lora(place: Place) -> Iterator[Stage]:
    who = {"questions": "identity_heldout"}
    yield place.examination("who it is, before LoRA", "identity_before", "--model_mode 1", **who)
    yield place.training(
        "LoRA: learns another identity, by adapters",
        f"train_lora.py --lora_name identity {LORA} {RANK}",
        *("--data_path", place.sample("identity") + ":0.25", place.sample("sft") + ":0.75"),
        result=place.out / "lora" / place.weight("identity").name,
    )
    yield place.examination("who it is, with LoRA", "identity_after", ADAPTED, **who)
    yield place.examination("held-out questions, with LoRA", "questions_lora", ADAPTED)


def _dpo(place: Place) -> Iterator[Stage]:
    yield place.training(
        "bad manners, to have something to unlearn: learns to answer rudely or at great length",
        f"train_full_sft.py --from_weight full_sft --weight_name bad_manners {BAD_MANNERS}",
        *("--data_path", place.sample("bad_manners")),
        result=place.weight("bad_manners"),
    )
    asked = "--model_mode 1 --weight bad_manners"
    yield place.examination("held-out questions, with bad manners", "manners_before", asked, keep=True)
    yield place.training(
        "DPO: learns which of two answers is better",
        f"train_dpo.py --from_weight bad_manners {DPO}",
        *("--data_path", place.sample("preference"), place.sample("preference_chats")),
        *("--val_path", place.sample("preference_heldout")),
        result=place.weight("dpo"),
    )
    yield place.examination("held-out questions after DPO", "manners_after", "--model_mode 2", keep=True)


def _reward(place: Place) -> Iterator[Stage]:
    yield place.training(
        "reward model: learns to say by one number how good an answer is",
        f"train_reward.py {REWARD}",
        *("--data_path", place.sample("preference")),
        *("--val_path", place.sample("preference_heldout")),
        result=place.weight("reward"),
    )


def _ppo(place: Place) -> Iterator[Stage]:
    yield place.training(
        "PPO: unlearns bad manners by the scores of the reward model",
        f"train_ppo.py --from_weight bad_manners --reward_weight reward {PPO}",
        *("--data_path", place.sample("prompts"), "--val_path", place.sample("prompts_heldout")),
        *("--watch", "contains", f"{ROOT}/dataset/sample/manners.py:polite"),
        result=place.weight("ppo"),
    )
    asked = "--model_mode 1 --weight ppo"
    yield place.examination("held-out questions after PPO", "manners_ppo", asked, keep=True)


def _reasoning(place: Place) -> Iterator[Stage]:
    sums = {"questions": "reason_heldout", "max_new_tokens": 96}
    chats = place.sample("sft") + ":0.4"
    yield place.training(
        "sums of three numbers, for comparison: learns them from answers alone",
        f"train_full_sft.py --from_weight full_sft --weight_name answers_alone {REASON}",
        *("--data_path", place.sample("reason_answers") + ":0.6", chats),
        result=place.weight("answers_alone"),
    )
    asked = "--model_mode 1 --weight answers_alone"
    yield place.examination("sums of three numbers, by answers alone", "sums_before", asked, **sums)
    yield place.training(
        "reasoning: learns to think before it answers",
        f"train_reason.py {REASON}",
        *("--data_path", place.sample("reason") + ":0.6", chats),
        result=place.weight("reason"),
    )
    yield place.examination("sums of three numbers, by thinking", "sums_after", "--model_mode 3", **sums)


def _grpo(place: Place) -> Iterator[Stage]:
    sums = {"questions": "reason_heldout", "max_new_tokens": 96}
    yield place.training(
        "first thoughts, to have something to get better at: a lesson in thinking with few examples",
        f"train_reason.py --weight_name first_thoughts {FIRST_THOUGHTS}",
        *("--data_path", place.sample("few_thoughts") + ":0.6", place.sample("sft") + ":0.4"),
        result=place.weight("first_thoughts"),
    )
    asked = "--model_mode 3 --weight first_thoughts"
    yield place.examination("sums of three numbers, by first thoughts", "sums_first", asked, **sums)
    yield place.examination("held-out questions, with first thoughts", "questions_first", asked)
    yield place.training(
        "GRPO: learns to think right from what comes of its thoughts",
        f"train_grpo.py --from_weight first_thoughts {GRPO}",
        *("--reward", f"{ROOT}/scripts/quickstart_rewards.py:right"),
        *("--data_path", place.sample("prompts") + ":0.7", place.sample("prompts_in_chats") + ":0.3"),
        *("--val_path", place.sample("prompts_heldout")),
        *("--ptx_path", place.sample("sft") + ":0.6", place.sample("pretrain") + ":0.4"),
        result=place.weight("grpo"),
    )
    asked = "--model_mode 3 --weight grpo"
    yield place.examination("sums of three numbers after GRPO", "sums_grpo", asked, **sums)
    yield place.examination("held-out questions after GRPO", "questions_grpo", asked)


def _tools(place: Place) -> Iterator[Stage]:
    yield place.training(
        "a calculator: learns to call it, in some of its answers",
        f"train_full_sft.py --from_weight full_sft --weight_name tool_start {TOOL_START}",
        *("--data_path", place.sample("tool_chats") + ":0.6", place.sample("sft") + ":0.4"),
        result=place.weight("tool_start"),
    )
    products = {"questions": "products_heldout"}
    asked = "--model_mode 1 --tools calculator --weight tool_start"
    yield place.examination("products, with a calculator that it may call", "products_before", asked, **products)
    yield place.training(
        "GRPO with tools: learns when to call it from which answers are right",
        f"train_grpo.py --from_weight tool_start --weight_name tools --tools calculator --reward exact {TOOLS}",
        *("--data_path", place.sample("products")),
        result=place.weight("tools"),
    )
    asked = "--model_mode 1 --tools calculator --weight tools"
    yield place.examination("products, with the calculator, after GRPO", "products_after", asked, **products)


def _distillation(place: Place) -> Iterator[Stage]:
    """Two students of half the width, trained on equally much data; one learns from the large network."""
    learning = {
        "hard": ("a student half as wide: learns from texts", "train_pretrain.py"),
        "taught": (
            "distillation: the same student learns from texts what the large network thinks of them",
            "train_distill.py --teacher_weight pretrain --alpha 0 --weight_decay 0.1",
        ),
    }
    for name, (title, command) in learning.items():
        student, tuned = f"student_{name}", f"student_{name}_sft"
        yield place.training(
            title,
            f"{command} --weight_name {student} {STUDENT} {STUDENT_TEXTS}",
            *("--data_path", place.sample("pretrain"), "--tokenizer_path", str(place.out / "tokenizer")),
            result=place.weight(student, hidden=128),
        )
        yield place.training(
            f"fine-tuning of that student ({name})",
            f"train_full_sft.py --from_weight {student} --weight_name {tuned} {STUDENT_CHATS}",
            *("--data_path", place.sample("sft")),
            result=place.weight(tuned, hidden=128),
        )
        yield place.examination(
            f"held-out questions to that student ({name})", f"questions_{student}", f"--model_mode 1 --weight {tuned}"
        )


def table_after(place: Place) -> list[str]:
    """A line for each thing measured: before and after the stage that is about it."""
    cells = [("stage", "measured on what was held out", "before", "after"), *_measured(place)]
    return in_columns(cells, left=(0, 1))


def _measured(place: Place) -> Iterator[tuple[str, str, str, str]]:
    def right(name: str, skill: str | None = None) -> str:
        result = json.loads((place.out / f"{name}.json").read_text(encoding="utf-8"))
        return f"{(result['skills'][skill] if skill else result)['accuracy']:.1%}"

    def flawed(name: str) -> str:
        bad, all_answers = count_flawed(place.out / f"{name}.jsonl")
        return f"{bad / all_answers:.1%}"

    def last(stage: str, metric: str) -> str:
        return f"{_last_value(place.out / 'logs' / place.weight(stage).stem / 'metrics.jsonl', metric):.1%}"

    yield "fine-tuning", "questions answered right", right("questions_before"), right("questions_after")
    yield "LoRA", "who it is, answered right", right("identity_before"), right("identity_after")
    yield "", "questions answered right", right("questions_after"), right("questions_lora")
    yield "DPO", "answers rude or rambling", flawed("manners_before"), flawed("manners_after")
    yield "", "pairs whose better answer is preferred", "-", last("dpo", "val_rewards/accuracies")
    yield "", "questions answered right", right("manners_before"), right("manners_after")
    yield "reward model", "pairs whose better answer scores higher", "-", last("reward", "val_accuracy")
    yield "PPO", "answers rude or rambling", flawed("manners_before"), flawed("manners_ppo")
    yield "", "questions answered right", right("manners_before"), right("manners_ppo")
    before, after = (right(name, "sum_of_three") for name in ("sums_before", "sums_after"))
    yield "reasoning", "sums of three numbers: answers alone -> thinking", before, after
    before, after = (right(name, "sum_of_three") for name in ("sums_first", "sums_grpo"))
    yield "GRPO", "sums of three numbers, by thinking", before, after
    yield "", "questions answered right", right("questions_first"), right("questions_grpo")
    yield "tools", "products, with a calculator", right("products_before"), right("products_after")
    before, after = right("questions_student_hard"), right("questions_student_taught")
    yield "distillation", "questions, student half as wide: alone -> taught", before, after


def _last_value(path: Path, metric: str) -> float:
    found = [json.loads(line).get(metric) for line in path.read_text(encoding="utf-8").splitlines()]
    return [value for value in found if value is not None][-1]


if __name__ == "__main__":
    print(__doc__)
