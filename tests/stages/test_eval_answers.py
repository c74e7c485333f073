"""eval_model.py on a file of conversations: the loss of what is answered, and answers compared with the right ones."""

import json

import pytest

from dataset.rendering import ChatRenderer
from model.errors import SproutError, UsageError
from model.files.checkpoint import save_weights
from model.generation import generate_batch
from model.sampling import GREEDY
from tests.stages.asked import WRONG, record, run, write
from tests.stages.talker import LEARNED, talker, turns


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    save_weights(folder / "full_sft_64.pth", *talker(), stage="full_sft")
    return folder


def brute_force_answers(cases) -> list[bool]:
    """Which are right, each asked alone and to the end."""
    network, tokenizer = talker()
    renderer, right = ChatRenderer(tokenizer), []
    for messages, _, _ in cases:
        (ids,) = generate_batch(
            network, [renderer.prompt(messages[:-1])], max_new_tokens=256, sampling=GREEDY, eos_ids={2}
        )
        said = tokenizer.decode(ids).strip().split("</think>")[-1].strip()
        right.append(ids[-1] == 2 and said == messages[-1]["content"].split("</think>")[-1].strip())
    return right


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_answers_are_compared_by_exact_match(capsys, tmp_path, out, batch_size):
    cases = (*LEARNED, *WRONG)
    path = write(tmp_path / "questions.jsonl", *(record(*case) for case in cases))
    text, _ = run(capsys, out, path, "--answers", "--json", "--batch_size", batch_size)
    assert text.count("\n") == 1
    result = json.loads(text)
    right = brute_force_answers(cases)
    assert right == [True] * len(LEARNED) + [False] * len(WRONG)

    def share(**wanted) -> dict:
        of = [
            r for r, (_, *labels) in zip(right, cases) if all(labels[n == "language"] == v for n, v in wanted.items())
        ]
        return {"accuracy": pytest.approx(sum(of) / len(of)), "questions": len(of)}

    english, chinese = share(skill="capital", language="en"), share(skill="capital", language="zh")
    assert result == share() | {
        "skills": {
            "capital": share(skill="capital") | {"languages": {"en": english, "zh": chinese}},
            "endless": share(skill="endless"),
            "memory": share(skill="memory") | {"languages": {"en": share(skill="memory", language="en")}},
            "thinking": share(skill="thinking"),
        },
        "languages": {"en": share(language="en"), "zh": share(language="zh")},
        "weight": str(out / "full_sft_64.pth"),
        "file": str(path),
    }


def test_wrong_answers_stand_beside_the_right_ones(capsys, tmp_path, out):
    cases = (*LEARNED, *WRONG)
    path = write(tmp_path / "questions.jsonl", *(record(*case) for case in cases))
    text, _ = run(capsys, out, path, "--answers", "--show", 3)
    assert "question  Capital of France?  [capital, en]\n  right   'Lyon.'\n  wrong   'Paris.'\n" in text
    assert "question  I am Bo. | Hello! | Who am I?  [memory, en]\n  right   'You are Cy.'" in text
    assert text.count("question  ") == 3
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[-6] == "exact match en zh all"
    assert lines[-5] == "capital 50.0% of 2 100.0% of 1 66.7% of 3"
    assert lines[-4] == "endless - - 0.0% of 1"
    assert lines[-1].startswith("all ") and lines[-1].endswith(" 63.6% of 11")
    json_text, notes = run(capsys, out, path, "--answers", "--show", 1, "--json")
    assert json_text.count("\n") == 1 and "'Lyon.'" in notes


def test_answers_are_saved_whole_with_their_thoughts_apart(capsys, tmp_path, out):
    cases = (*LEARNED, *WRONG)
    path, saved = (
        write(tmp_path / "questions.jsonl", *(record(*case) for case in cases)),
        tmp_path / "a" / "saved.jsonl",
    )
    flags = ("--answers", "--json", "--max_new_tokens", 100, "--save_answers", saved)
    result = json.loads(run(capsys, out, path, *flags)[0])
    lines = [json.loads(line) for line in saved.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == len(cases) and sum(line["correct"] for line in lines) == round(result["accuracy"] * len(cases))
    assert lines[0] == {
        "question": "Capital of France?",
        "right": "Paris.",
        "answer": "Paris.",
        "ended": True,
        "correct": True,
        "skill": "capital",
        "language": "en",
    }
    thinking = next(line for line in lines if "thought" in line)
    assert (thinking["right"], thinking["answer"], thinking["thought"]) == ("Yes.", "Yes.", "hm")
    (endless,) = [line for line in lines if line.get("skill") == "endless"]
    assert len(endless["answer"]) > 90 and not endless["ended"] and not endless["correct"]
    lyon = next(line for line in lines if line["right"] == "Lyon.")
    assert lyon["answer"] == "Paris." and lyon["ended"] and not lyon["correct"]

    with pytest.raises(UsageError, match="exists already"):
        run(capsys, out, path, *flags)
    with pytest.raises(UsageError, match="--answers"):
        run(capsys, out, path, "--save_answers", tmp_path / "b.jsonl")
    with pytest.raises(SproutError, match="--save_answers"):
        run(capsys, out, path, "--answers", "--save_answers", path / "b.jsonl")


def test_thoughts_without_an_end_are_counted_and_shown_as_such(capsys, tmp_path, out):
    path = write(tmp_path / "questions.jsonl", record(turns("Think.", "Yes.")), record(turns("Who am I?", "No idea.")))
    text, notes = run(capsys, out, path, "--answers", "--show", 5, "--max_new_tokens", 4)
    assert "thoughts without an end, and so without an answer: 1;" in notes
    assert "  thought 'hm' ... (which never ended)\n  right   'Yes.'\n  wrong   ''\n" in text
    assert "without an end" not in run(capsys, out, path, "--answers")[1]


def test_any_chat_format_is_asked_up_to_its_last_answer(capsys, tmp_path, out):
    alpaca = write(tmp_path / "alpaca.jsonl", {"Instruction": "Capital of France?", "output": " Paris. ", "Skill": "x"})
    assert json.loads(run(capsys, out, alpaca, "--answers", "--json")[0])["skills"]["x"]["accuracy"] == 1
    unanswered = turns("Capital of France?", "Paris.", "And what now?")
    messages = write(tmp_path / "messages.jsonl", {"messages": unanswered, "skill": 7})
    result = json.loads(run(capsys, out, messages, "--answers", "--json")[0])
    assert (result["accuracy"], result["questions"], result["skills"]) == (1, 1, {})


def test_a_format_is_obeyed(capsys, tmp_path, out):
    both = {"messages": turns("Capital of France?", "Paris."), "instruction": "Think.", "output": "No."}
    path = write(tmp_path / "both.jsonl", both)
    for name, right in (("messages", 1), ("alpaca", 0)):
        said = run(capsys, out, path, "--answers", "--json", "--format", name)[0]
        assert json.loads(said)["accuracy"] == right
    for flags in ([], ["--tools", "calculator"]):
        with pytest.raises(UsageError, match="--format nonsense is no format of "):
            run(capsys, out, path, "--answers", "--format", "nonsense", *flags)


def test_a_record_may_list_further_right_answers(capsys, tmp_path, out):
    """The longest of them is waited for, and what is in no list stays wrong."""
    asked = record(turns("Capital of France?", "No."))
    longest = ["No idea.", "Paris."]
    path = write(tmp_path / "also.jsonl", asked | {"also_right": longest}, asked, asked | {"also_right": ["Rome."]})
    result = json.loads(run(capsys, out, path, "--answers", "--json")[0])
    assert result["accuracy"] == pytest.approx(1 / 3)
    for wrong in ("Paris.", [7], [" "]):
        path = write(tmp_path / "wrong.jsonl", asked, asked | {"also_right": wrong})
        with pytest.raises(SproutError, match=r"wrong\.jsonl, line 2: also_right must be a list of answers in words"):
            run(capsys, out, path, "--answers")


def test_questions_longer_than_the_network_are_counted(capsys, tmp_path, out):
    path = write(tmp_path / "long.jsonl", record(turns("x" * 3000, "y")), record(turns("Capital of France?", "Paris.")))
    text, notes = run(capsys, out, path, "--answers", "--json")
    assert json.loads(text)["accuracy"] == 0.5
    assert "questions that fill the 2,048 positions of the network, and so count as wrong: 1\n" in notes


GOOD = '{"conversations": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'


@pytest.mark.parametrize("flags", [[], ["--answers"]], ids=["loss", "answers"])
@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([GOOD, "{"], "chats.jsonl:2: not valid JSON"),
        ([GOOD, '{"conversations": []}'], "chats.jsonl:2: the conversation is empty"),
        (['{"conversations": [{"role": "user", "content": "a"}]}'], "chats.jsonl:1: no turn is the assistant's"),
        ([GOOD, '{"conversations": [{"role": "assistant", "content": "\\ud800"}]}'], "half a surrogate pair"),
        (['{"question": "a"}'], "chats.jsonl:1: the shape is unknown"),
        (["[1]"], "chats.jsonl:1: not a JSON object"),
        ([""], "holds no"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_hostile_file_is_refused_in_a_sentence(capsys, tmp_path, out, lines, words, flags):
    path = write(tmp_path / "chats.jsonl", *lines)
    with pytest.raises(SproutError, match=words) as caught:
        run(capsys, out, path, *flags)
    assert "\n" not in str(caught.value)


def test_what_else_cannot_be_scored(capsys, tmp_path, out):
    chats = write(tmp_path / "chats.jsonl", GOOD)
    with pytest.raises(UsageError, match="2048 positions"):
        run(capsys, out, chats, "--max_seq_len", 4096)
    with pytest.raises(SproutError, match="no answer .* --max_seq_len 8"):
        run(capsys, out, chats, "--max_seq_len", 8)
    with pytest.raises(SproutError, match="the record is of another kind"):
        run(capsys, out, write(tmp_path / "texts.jsonl", {"text": "a"}), "--answers")
    for flags in ([], ["--answers"]):
        with pytest.raises(SproutError, match="no such file"):
            run(capsys, out, tmp_path / "missing.jsonl", *flags)
