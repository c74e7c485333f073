"""What a step prints of what the network wrote: a young network writes control characters, too."""

from types import SimpleNamespace

from training.engine.step import Step


def test_samples_cannot_steer_the_terminal_and_are_kept_as_they_are():
    said: list[str] = []
    step = SimpleNamespace(number=3, _machine=SimpleNamespace(say=said.append))
    samples = [{"prompt": "从前", "answer": "a\nb\rc\x1b[2Jd\x14"}, {"prompt": "x", "answer": "y\u202ez"}]
    Step.show(step, samples)
    assert said == ["step 3 writes:\n  从前 | a b\\rc\\x1b[2Jd\\x14\n  x | y\\u202ez"]
    assert step.written[0]["answer"] == "a\nb\rc\x1b[2Jd\x14"
