"""Reports on the answers to the questions of a file: accuracies, a table, the wrong answers."""

from collections.abc import Sequence

from inference.columns import in_columns
from inference.exact_match import Answer, Question
from inference.thoughts import conclusion, take_apart

SHOWN_CHARACTERS = 300  # characters shown of a question


def accuracies(questions: Sequence[Question], answers: Sequence[Answer]) -> dict:
    """{"accuracy", "questions"} over all, for each of "skills" and "languages", and for each skill's "languages"."""
    pairs = list(zip(questions, answers, strict=True))

    def share(of: list) -> dict:
        return {"accuracy": sum(answer.correct for _, answer in of) / len(of), "questions": len(of)}

    def by(label: str, of: list) -> dict[str, list]:
        names = sorted({name for question, _ in of if (name := getattr(question, label)) is not None})
        return {name: [pair for pair in of if getattr(pair[0], label) == name] for name in names}

    languages = {name: share(of) for name, of in by("language", pairs).items()}
    skills = {}
    for name, of in by("skill", pairs).items():
        inner = {language: share(part) for language, part in by("language", of).items()}
        skills[name] = share(of) | ({"languages": inner} if inner else {})
    return share(pairs) | {"skills": skills} | ({"languages": languages} if languages else {})


def table(result: dict) -> list[str]:
    """What `accuracies` returns as lines: a row for each skill, a column for each language, and all together."""
    languages = result.get("languages", {})
    rows = [["exact match", *languages, "all"]]
    for name, skill in [*result["skills"].items(), ("all", result)]:
        of_each = skill.get("languages", {})
        rows.append([name, *(_cell(of_each.get(language)) for language in languages), _cell(skill)])
    return in_columns(rows)


def _cell(share: dict | None) -> str:
    return "-" if share is None else f"{share['accuracy']:.1%} of {share['questions']:,}"


def wrong_answers(questions: Sequence[Question], answers: Sequence[Answer], count: int) -> list[str]:
    """The first `count` wrong answers beside the right ones, as lines; what was thought first stands above."""
    wrong = [(question, answer) for question, answer in zip(questions, answers) if not answer.correct]
    lines = []
    for question, answer in wrong[:count]:
        label = ", ".join(filter(None, (question.skill, question.language)))
        asked, said = question.asked, take_apart(answer.text)
        if len(asked) > SHOWN_CHARACTERS:
            asked = "... " + asked[-SHOWN_CHARACTERS:]
        lines.append(f"question  {asked}" + (f"  [{label}]" if label else ""))
        if said.thought is not None:
            lines.append(f"  thought {said.thought!r}" + ("" if said.thought_ended else " ... (which never ended)"))
        lines.append(f"  right   {conclusion(question.right)!r}")
        lines.append(f"  wrong   {said.answer!r}" + ("" if answer.ended or not said.thought_ended else " ..."))
    return lines
