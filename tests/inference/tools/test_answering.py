"""Answers with tools are graded as those without."""

import json
from types import SimpleNamespace

from dataset.rendering import ChatRenderer
from inference.exact_match import read_questions
from inference.tools.answering import _answers
from tests.support import make_tokenizer


def test_the_number_behind_the_marks_counts(tmp_path):
    turns = [{"role": "user", "content": "9 + 9?"}, {"role": "assistant", "content": "9 and 9 make 18.\n#### 18"}]
    (tmp_path / "sums.jsonl").write_text(json.dumps({"messages": turns}) + "\n")
    renderer = ChatRenderer(make_tokenizer())
    (question,) = read_questions(tmp_path / "sums.jsonl", renderer)
    for text, right in (("Nine twice is eighteen.\n#### 18", True), ("9 and 9 make 18.\n#### 19", False)):
        ids = [*renderer.tokenizer.encode(text), renderer.end_id]
        (answer,) = _answers([question], [SimpleNamespace(last_turn=ids, turns=[1], ended=True)], renderer)
        assert answer.correct is question.is_answered_by(text) is right
