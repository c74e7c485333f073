"""What the network wrote, as HTML: samples as they changed, rated answers, and held-out questions by skill."""

import html

from dataset.pages import table
from dataset.prepare.report import percent
from training.page.thinned import spread_out
from training.report.lines import finite

MOST_STEPS, MOST_PROMPTS, MOST_CHARACTERS = 6, 8, 500


def samples_of(samples: list[dict]) -> str:
    """samples: lines of samples.jsonl, each with `step`, `prompt` and `answer`; `rewards` where answers were rated."""
    if not samples:
        return ""
    if any("rewards" in each for each in samples):
        return _rated(samples)
    by_prompt: dict[str, dict[int, str]] = {}
    for each in samples:
        by_prompt.setdefault(each["prompt"], {})[each["step"]] = each["answer"]
    parts = []
    for prompt, answers in list(by_prompt.items())[:MOST_PROMPTS]:
        rows = "".join(
            f"<dt>step {step:,}</dt><dd>{_text(answers[step])}</dd>" for step in spread_out(sorted(answers), MOST_STEPS)
        )
        parts.append(f'<div class="sample"><p class="prompt">{_text(prompt)}</p><dl>{rows}</dl></div>')
    return "<h3>What it wrote</h3>" + "".join(parts)


def _rated(samples: list[dict]) -> str:
    """The best and the worst answer to the first prompts of a few steps."""
    by_step: dict[int, dict[str, list[dict]]] = {}
    for each in samples:
        by_step.setdefault(each["step"], {}).setdefault(each["prompt"], []).append(each)
    parts = []
    for step in spread_out(sorted(by_step), MOST_STEPS):
        for prompt, answers in list(by_step[step].items())[:2]:
            answers = sorted([each for each in answers if _is_rated(each)] or answers, key=_total, reverse=True)
            rows = "".join(
                f"<dt>{html.escape(_rewards(each))}</dt><dd>{_text(each['answer'])}"
                f"{'' if each.get('ended', True) else ' <i>(cut)</i>'}</dd>"
                for each in answers[:1] + answers[1:][-1:]
            )
            parts.append(
                f'<div class="sample"><p class="prompt"><span class="place">step {step:,}</span> {_text(prompt)}</p>'
                f"<dl>{rows}</dl></div>"
            )
    return "<h3>Answers and their rewards, the best and the worst of a prompt</h3>" + "".join(parts)


def _is_rated(sample: dict) -> bool:
    return sample.get("reward", 0.0) is not None  # null: no reward has rated it


def _total(sample: dict) -> float:
    """The weighted sum of an answer's rewards; earlier versions of Sprout wrote only what it is made of."""
    if (total := finite(sample.get("reward"))) is not None:
        return total
    rewards = sample.get("rewards")
    return sum(finite(value) or 0.0 for value in rewards.values()) if isinstance(rewards, dict) else 0.0


def _rewards(sample: dict) -> str:
    rewards = sample.get("rewards")
    found = rewards.items() if isinstance(rewards, dict) else ()
    return ", ".join(f"{name} {value:g}" for name, value in found if finite(value) is not None) or "not rated"


def _text(text: str) -> str:
    """A text from a network or from data: it stays text, whatever is in it."""
    shown = text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + "…"
    return html.escape(shown.encode("utf-8", "replace").decode()) or '<i class="place">nothing</i>'


def questions_of(results: list[dict]) -> str:
    """results: as `inference.answer_report.accuracies` makes them, each with the `path` of its file."""
    parts = []
    for result in results:
        whole = [("all", result), *result["skills"].items()]
        rows = [
            [name, f"{finite(each.get('questions')) or 0:,.0f}", _share(each)]
            for name, each in whole
            if isinstance(each, dict)
        ]
        file = html.escape(f"{result['path']}, {result.get('file', 'unknown questions')}")
        parts.append(table(["skill", "questions", "right"], rows) + f'<p class="place">{file}</p>')
    return "<h3>Held-out questions</h3>" + "".join(parts) if parts else ""


def _share(result: dict) -> str:
    accuracy = finite(result.get("accuracy"))
    return "-" if accuracy is None else percent(accuracy, 1)
