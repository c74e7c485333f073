"""The files of the sample data: made on demand, the same every time, whole or absent, and true."""

import json
import re
import time

import pytest

from dataset.records.chat_formats import CHAT
from dataset.records.formats import TEXT
from dataset.sample import files
from dataset.sample.files import FILES, sample_file, write_sample
from dataset.sample.loader import read_table
from dataset.sample.questions import answer
from dataset.sample.tales import tales
from dataset.sample.world import World, names_of
from model.errors import SproutError, UsageError


def bytes_of(folder) -> dict[str, bytes]:
    return {name: (folder / "sample" / f"{name}.jsonl").read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("made")
    write_sample(out)
    return out


@pytest.fixture
def few(monkeypatch):
    """A line a file, another one for each seed: when files are made and kept does not depend on what is in them."""
    lines = {name: lambda world, name=name: [{"text": f"{name} of world {world.seed}"}] for name in FILES}
    monkeypatch.setattr(files, "FILES", lines)


def records(folder, name) -> list[dict]:
    lines = (folder / "sample" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_the_same_seed_gives_the_same_bytes_in_seconds_and_another_seed_others(made, tmp_path):
    started = time.process_time()
    write_sample(tmp_path / "again")
    assert time.process_time() - started < 10
    write_sample(tmp_path / "other", seed=1)
    assert bytes_of(tmp_path / "again") == bytes_of(made)
    assert 2e6 < sum(map(len, bytes_of(made).values())) < 24e6
    other = bytes_of(tmp_path / "other")
    assert all(other[name] != content for name, content in bytes_of(made).items())


@pytest.mark.usefixtures("few")
def test_files_are_made_once_and_made_anew_when_one_is_missing_or_of_another_version(tmp_path, monkeypatch):
    path = sample_file("sft", tmp_path)
    assert path == tmp_path / "sample" / "sft.jsonl"
    whole = path.read_bytes()
    stamp = path.stat().st_mtime_ns
    assert sample_file("sft", tmp_path) == path and path.stat().st_mtime_ns == stamp
    (tmp_path / "sample" / "prompts.jsonl").unlink()
    assert sample_file("prompts", tmp_path).exists()
    path.write_bytes(b"of an older version")
    sample_file("sft", tmp_path)
    assert path.read_bytes() == b"of an older version"  # the mark says that it is of this one
    monkeypatch.setattr(files, "version", lambda: "another")
    assert sample_file("sft", tmp_path).read_bytes() == whole


@pytest.mark.usefixtures("few")
def test_another_seed_stays_until_it_is_asked_for(tmp_path):
    write_sample(tmp_path, seed=1)
    other = bytes_of(tmp_path)
    sample_file("pretrain", tmp_path)
    assert bytes_of(tmp_path) == other
    write_sample(tmp_path, seed=0)
    assert bytes_of(tmp_path) != other


@pytest.mark.usefixtures("few")
def test_files_of_the_users_are_moved_to_earlier_and_said(tmp_path, monkeypatch, capsys):
    mine = tmp_path / "sample" / "sft.jsonl"
    mine.parent.mkdir()
    mine.write_text('{"text": "mine"}\n')
    sample_file("sft", tmp_path)
    (kept,) = (tmp_path / "earlier").iterdir()
    assert [path.read_text() for path in kept.iterdir()] == ['{"text": "mine"}\n']
    assert f"not its sample data (sft.jsonl) to {kept}" in capsys.readouterr().err
    mine.write_text("edited")
    monkeypatch.setattr(files, "version", lambda: "another")
    sample_file("sft", tmp_path)
    assert "edited" in [path.read_text() for path in (tmp_path / "earlier").glob("*/sft.jsonl")]
    capsys.readouterr()
    write_sample(tmp_path, seed=1)  # what was made here is replaced
    assert len(list((tmp_path / "earlier").iterdir())) == 2 and not capsys.readouterr().err


@pytest.mark.usefixtures("few")
def test_an_interrupted_writing_is_begun_again(tmp_path, monkeypatch):
    real = files.write_atomically

    def fails_at_questions(path, write):
        if path.name == "questions.jsonl":
            raise KeyboardInterrupt
        real(path, write)

    def interrupt(seed: int) -> None:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(files, "write_atomically", fails_at_questions)
            write_sample(tmp_path, seed)

    interrupt(seed=0)
    assert sample_file("questions", tmp_path).exists()
    whole = bytes_of(tmp_path)
    interrupt(seed=1)
    write_sample(tmp_path, seed=1)
    assert not (tmp_path / "earlier").exists()
    interrupt(seed=0)
    sample_file("questions", tmp_path)
    assert bytes_of(tmp_path) == whole  # and not of two worlds


def test_a_name_that_is_no_file(tmp_path):
    with pytest.raises(KeyError, match="questions"):
        sample_file("question", tmp_path)


CHATS = (
    "sft",
    "questions",
    "first_chat",
    "unknown_heldout",
    "many_unknown_heldout",
    "rephrased_heldout",
    "told",
    "identity",
    "identity_heldout",
    "reason",
    "reason_heldout",
    "tool_chats",
)


@pytest.mark.parametrize("name", ["pretrain", *CHATS])
def test_every_record_is_read_by_its_format(made, name):
    kind, wanted = (TEXT, "text") if name == "pretrain" else (CHAT, "conversations")
    (reader,) = (each for each in kind.formats if each.name == wanted)
    for record in records(made, name):
        reader.read(record)


def test_every_record_says_its_skill_and_language(made):
    for name in set(FILES) - {"pretrain"}:
        for record in records(made, name):
            assert record["language"] in ("en", "zh") and record["skill"]


def test_a_table_answers_every_question_once():
    for name, columns, asked in (
        ("capitals", 4, (0, 1, 2, 3)),
        ("sounds", 4, (0, 2)),
        ("young", 4, (0, 2)),
        ("colours", 4, (0, 2)),
        ("translations", 2, (0, 1)),
        ("jobs", 2, (0, 1)),
        ("pets", 2, (0, 1)),
        ("foods", 2, (0, 1)),
    ):
        rows = read_table(name, columns)
        for column in asked:
            assert len({row[column] for row in rows}) == len(rows) > 0
    for columns in ((0, 1), (2, 3)):  # an opposite is asked for from both sides
        words = [row[column] for row in read_table("opposites", 4) for column in columns]
        assert len(words) == len(set(words))
    pairs = tales()
    for language in (0, 1):
        assert len({pair[language].title for pair in pairs}) == len(pairs)
        assert len({pair[language].moral for pair in pairs}) == len(pairs)
    names = names_of("en")
    people = {*names.women, *names.men}
    assert len(people) == len(names.women) + len(names.men) and not people & set(names.speakers)


@pytest.mark.parametrize("name", sorted(FILES))
def test_all_arithmetic_is_right_and_no_wording_is_left_unfilled(made, name):
    text = (made / "sample" / f"{name}.jsonl").read_text(encoding="utf-8")
    if name.startswith("preference"):
        text = "\n".join(f"{record['prompt']}\n{record['chosen']}" for record in records(made, name))
    found = re.findall(r"(\d+(?: \+ \d+)+) = (\d+)", text)
    assert found or name.startswith(
        ("identity", "preference", "prompts", "sums", "tool_chats", "products", "passkey", "told")
    )
    for numbers, total in found:
        assert sum(map(int, numbers.split(" + "))) == int(total)
    for a, b, total in re.findall(r"(\d+)(?: plus |加)(\d+)(?: is |等于)(\d+)", text):
        assert int(a) + int(b) == int(total)
    content = re.sub(r'"[a-z_]+":|[{}\[\]]{1,2}(?=[,\n])|^\{|\[\{', "", text, flags=re.M)
    assert not re.search(r"\{[a-zA-Z0-9 ]+\}", content)


def test_later_stages_have_held_out_halves(made):
    for name, key in (("preference", "prompt"), ("prompts", "question"), ("products", "question")):
        shown, held = ({record[key] for record in records(made, file)} for file in (name, f"{name}_heldout"))
        assert not shown & held and len(held) >= 200
    asked = [
        {record["conversations"][0]["content"] for record in records(made, file)}
        for file in ("reason", "reason_heldout")
    ]
    assert not asked[0] & asked[1] and len(asked[1]) >= 100


def test_an_identity_is_asked_for_in_wordings_never_trained_on_and_is_nowhere_else(made):
    shown, held = ([r["conversations"] for r in records(made, name)] for name in ("identity", "identity_heldout"))
    questions = [{asked["content"] for asked, _ in chats} for chats in (shown, held)]
    assert not questions[0] & questions[1] and len(questions[1]) == len(held) >= 60
    answers = {right["content"] for _, right in shown}
    assert answers == {right["content"] for _, right in held} and len(answers) >= 20
    assert all(12 <= sum(right["content"] == answer for _, right in shown) <= 20 for answer in answers)
    others = [turn for name in ("sft", "questions") for r in records(made, name) for turn in r["conversations"]]
    assert not answers & {turn["content"] for turn in others}
    assert not questions[1] & {turn["content"] for turn in others}
    texts = (made / "sample" / "pretrain.jsonl").read_text(encoding="utf-8")
    names = ("Fennel", "Olga", "Finch", "Button", "茴香", "方岚", "纽扣")
    assert not [name for name in names if name in texts]


def test_preferences_prefer_what_is_right(made):
    for name, held in (("preference", False), ("preference_heldout", True)):
        right = {}  # (skill, language): answers
        for fact in World().facts:
            if fact.held == held:
                right.setdefault((fact.skill, fact.language), set()).add(answer(fact))
        flaws = set()
        for record in records(made, name):
            skill, rejected = (record["skill"], record["language"]), record["rejected"]
            assert record["chosen"] in right[skill] and rejected not in right[skill]
            if record["flaw"] == "wrong":  # but right to a question of another kind
                assert any(rejected in said for other, said in right.items() if other[1] == skill[1])
            flaws.add(record["flaw"])
        assert flaws == {"wrong", "rude", "rambling"}


def test_reasoning_ends_in_its_answer(made):
    for record in records(made, "reason") + records(made, "reason_heldout"):
        reply = record["conversations"][-1]
        if record["skill"] == "sum_of_three":
            assert reply["reasoning_content"].split()[-1] == re.findall(r"\d+", reply["content"])[-1]
        else:
            assert reply["reasoning_content"].splitlines()[-1] == reply["content"]


def test_answers_alone_are_those_that_are_reasoned(made):
    for alone, reasoned in zip(records(made, "reason_answers"), records(made, "reason"), strict=True):
        assert reasoned["conversations"][-1].pop("reasoning_content")
        assert alone == reasoned


@pytest.mark.usefixtures("few")
def test_the_command_says_what_it_wrote(tmp_path, capsys):
    files.main(["--out_dir", str(tmp_path)])
    assert capsys.readouterr().out.count(" records, ") == len(FILES)


def test_errors_are_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SproutError, match="cannot be made .*: choose another --out_dir"):
        sample_file("sft", tmp_path / "file")
    with pytest.raises(UsageError, match="--sed"):
        files.main(["--sed", "1"])


@pytest.mark.usefixtures("few")
def test_a_folder_of_that_name_is_moved_to_earlier(tmp_path):
    (tmp_path / "sample" / "sft.jsonl").mkdir(parents=True)
    assert sample_file("sft", tmp_path).is_file()
    assert [path.is_dir() for path in (tmp_path / "earlier").glob("*/sft.jsonl")] == [True]
