"""The stages after fine-tuning, on the sample data, each measured before and after: `scripts/quickstart.py --full`.

Every one begins with the fine-tuned network, but for distillation, which grows a smaller one. What each is measured
on was never trained on.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from dataset.sample.manners import count_flawed
from scripts.quickstart_way import Place, Stage

ROWS = "--max_seq_len 256 --sample_interval 0"
LORA = f"--lora_name identity {ROWS} --epochs 4"
BAD_MANNERS = f"--from_weight full_sft --weight_name bad_manners {ROWS} --learning_rate 0.0005"
DPO = f"--from_weight bad_manners {ROWS}"
REWARD = ROWS
REASON = f"{ROWS} --epochs 4"
STUDENT, STUDENT_SIZES = (
    128,
    "--hidden_size 128 --num_attention_heads 2 --num_key_value_heads 1 --intermediate_size 352",
)


def stages_after(place: Place) -> list[Stage]:
    """All commands after fine-tuning, in order."""

    def data(name: str) -> tuple[str, str]:
        return "--data_path", place.sample(name)

    def held_out(name: str) -> tuple[str, str]:
        return "--val_path", place.sample(f"{name}_heldout")

    def examined(what: str, name: str, flags: str, **more) -> Stage:
        return place.examination(f"examination: {what}", name, flags, **more)

    identity, sums = {"questions": "identity_heldout"}, {"questions": "reason_heldout"}
    return [
        examined("who it is, before LoRA", "identity_before", "--model_mode 1", **identity),
        place.training(
            "LoRA: learns another identity, by adapters",
            f"train_lora.py {LORA}",
            *data("identity"),
            result=place.out / "lora" / place.weight("identity").name,
        ),
        examined("who it is, with LoRA", "identity_after", "--model_mode 1 --lora identity", **identity),
        examined("held-out questions, with LoRA", "questions_lora", "--model_mode 1 --lora identity"),
        place.training(
            "bad manners: learns to answer rudely, to have something to unlearn",
            f"train_full_sft.py {BAD_MANNERS}",
            *data("bad_manners"),
            result=place.weight("bad_manners"),
        ),
        examined(
            "held-out questions, with bad manners", "manners_before", "--weight bad_manners --model_mode 1", keep=True
        ),
        place.training(
            "DPO: learns which of two answers is better",
            f"train_dpo.py {DPO}",
            *data("preference"),
            *held_out("preference"),
            result=place.weight("dpo"),
        ),
        examined("held-out questions after DPO", "manners_after", "--model_mode 2", keep=True),
        place.training(
            "reward model: learns to say by a number how good an answer is",
            f"train_reward.py {REWARD}",
            *data("preference"),
            *held_out("preference"),
            result=place.weight("reward"),
        ),
        place.training(
            "reasoning, for comparison: learns sums of three numbers from answers alone",
            f"train_full_sft.py --from_weight full_sft --weight_name reason_answers {REASON}",
            *data("reason_answers"),
            result=place.weight("reason_answers"),
        ),
        examined(
            "sums of three numbers, by answers alone", "sums_before", "--weight reason_answers --model_mode 1", **sums
        ),
        place.training(
            "reasoning: learns to think before answering",
            f"train_reason.py {REASON}",
            *data("reason"),
            result=place.weight("reason"),
        ),
        examined("sums of three numbers, by thinking", "sums_after", "--model_mode 3", **sums),
    ]


def table_after(place: Place) -> list[str]:
    """A line for each thing measured: before and after the stage that is about it."""
    cells = [("stage", "measured on what was held out", "before", "after"), *_measured(place)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return ["  ".join([*map(str.ljust, row[:2], widths), *map(str.rjust, row[2:], widths[2:])]) for row in cells]


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
    yield (
        "reasoning",
        "sums of three: answers alone, thinking",
        right("sums_before", "sum_of_three"),
        right("sums_after", "sum_of_three"),
    )


def _last_value(path: Path, metric: str) -> float:
    found = [json.loads(line).get(metric) for line in path.read_text(encoding="utf-8").splitlines()]
    return [value for value in found if value is not None][-1]
