"""scripts/make_pairs.py: pairs of a better and a worse answer that the network itself gave."""

import contextlib
import json
import math

import pytest

from dataset.records.measured import all_documents, kind_of_file
from dataset.rendering import ChatRenderer
from inference.tools.turns import Episode
from model.errors import SproutError, UsageError
from model.files.loading import load_model
from model.text.extend_bpe import extend
from scripts import make_pairs
from scripts.make_pairs import main
from tests.stages.workshop import Workshop
from training.rewards.pairs import pairs_of
from training.stages import paired_answers

NAN = math.nan
FLAGS = ("--max_new_tokens=6", "--group_size=6", "--device=cpu")


@pytest.mark.parametrize(
    "rewards, most, expected",
    [
        ([0.0, 1.0, 0.5], 1, [(1, 0)]),
        ([1.0, 0.0, 1.0, 0.0], 1, [(0, 1)]),  # of equal ones the first
        ([1.0, 0.0, 1.0, 0.0], 3, [(0, 1), (2, 3)]),
        ([3.0, 1.0, 2.0], 3, [(0, 1)]),  # the middle one is not paired with itself
        ([1.0, 1.0], 1, []),
        ([1.0, 1.0 + 1e-8], 1, []),  # the same reward, rounded differently
        ([NAN, 1.0, NAN, 0.0], 2, [(1, 3)]),
        ([NAN, 1.0], 1, []),
        ([], 1, []),
    ],
)
def test_the_best_stands_with_the_worst_as_long_as_they_differ(rewards, most, expected):
    assert pairs_of(rewards, most) == expected


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """With a network that has learned to end its answers, and little else."""
    made = Workshop.create(tmp_path_factory.mktemp("pairs"), "full_sft")
    made.train("out", "--max_steps=40", "--epochs=40", "--learning_rate=0.01", "--eval_interval=0")
    return made


def made(workshop, save_file, *flags, data="prompts.jsonl", reward="my_reward.py:letters") -> list[dict]:
    folder = workshop.folder
    if not (folder / "prompts.jsonl").exists():
        lines = [{"prompt": word, "skill": "word", "answer": word} for word in ("ab", "ca", "cc", "b")]
        lines.append({"prompt": [{"role": "system", "content": "b"}, {"role": "user", "content": "a"}], "skill": "two"})
        (folder / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    files = [f"--data_path={folder / data}", f"--save_file={save_file}", f"--out_dir={folder / 'out'}"]
    rewards = [f"--reward={folder / reward}"] if reward else []
    main([*files, *rewards, *FLAGS, *flags])
    return [json.loads(line) for line in save_file.read_text().splitlines()]


def test_answers_are_rated_as_in_grpo_and_read_by_dpo_as_they_were_written(workshop, tmp_path, capsys):
    """The reward counts letters, twice."""
    tokenizer = f"--tokenizer_path={workshop.folder / 'tokenizer'}"
    records = made(workshop, tmp_path / "new" / "pairs.jsonl", tokenizer, reward="my_reward.py:letters:2")
    assert 2 <= len(records) <= 5
    for record in records:
        chosen, rejected = (2 * record[side].count("a") / 6 for side in ("chosen", "rejected"))
        assert record["chosen_reward"] == chosen > rejected == record["rejected_reward"]
    assert records[0]["skill"] == "word" and records[0]["answer"] == records[0]["prompt"]
    said = capsys.readouterr().err
    assert f"{len(records)} pairs from 5 prompts with 6 answers each" in said
    assert "train_dpo.py --from_weight" in said and tokenizer.replace("=", " ") in said

    loaded = load_model(workshop.result("out").weight_file)
    renderer = ChatRenderer(loaded.tokenizer)
    kind, _ = kind_of_file(tmp_path / "new" / "pairs.jsonl", ("preference",))
    documents = list(all_documents(tmp_path / "new" / "pairs.jsonl", kind, "reading"))
    for record, document in zip(records, documents, strict=True):
        (pair,) = document.content.pairs
        for side, conversation in (("chosen", pair.chosen), ("rejected", pair.rejected)):
            (rendered,) = renderer.render([conversation])
            answer = loaded.tokenizer.decode(rendered.ids[rendered.trained].tolist()[:-1])
            assert answer.strip() == record[side].strip()
            asked = renderer.prompt(conversation.messages[:-1])
            assert rendered.ids[: len(asked)].tolist() == asked


def test_the_same_seed_gives_the_same_pairs_and_another_one_others(workshop, tmp_path):
    flags = ("--pairs_per_prompt=3",)
    first, again, other = (
        made(workshop, tmp_path / f"{number}.jsonl", *flags, f"--seed={seed}") for number, seed in enumerate((1, 1, 2))
    )
    assert first == again != other
    assert len(first) > len({json.dumps(record["prompt"]) for record in first})  # several of a prompt


def with_reward(workshop, name: str, code) -> str:
    (workshop.folder / f"{name}.py").write_text(f"def {name}(prompts, completions, **columns):\n    return {code}\n")
    return f"{name}.py:{name}"


def test_the_last_answer_of_a_chat_is_the_right_one(workshop, tmp_path):
    chats = [json.loads(line)["conversations"] for line in (workshop.folder / "chat_a.jsonl").read_text().splitlines()]
    records = made(workshop, tmp_path / "pairs.jsonl", data="chat_a.jsonl", reward=None)  # the usual one: exact
    assert records
    right = {json.dumps(turns[:-1]): turns[-1]["content"] for turns in chats}
    for record in records:
        asked = record["prompt"]
        turns = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
        assert record["chosen"] == right[json.dumps(turns)] != record["rejected"]


GIVEN = {"b": 2, "": -9, " ": -8, "a\0": 8, " b": -7, "ca": 1, "cb": 1.5, "aaa": 9}  # with their rewards


def test_an_answer_that_is_blank_given_before_or_cut_off_is_in_no_pair(workshop, tmp_path, monkeypatch):
    """Though it has the best reward, or the worst; no reader of pairs takes a blank one or a NUL."""

    def converse(model, prompts, renderer, *_, **settings):
        for prompt, text in zip(prompts, GIVEN, strict=True):
            ids, whole = renderer.tokenizer.encode(text), text != "aaa"
            ids += [renderer.end_id] if whole else []
            yield Episode([*prompt, *ids], [False] * len(prompt) + [True] * len(ids), ended=whole, last=len(prompt))

    monkeypatch.setattr(paired_answers, "converse", lambda *args, **more: list(converse(*args, **more)))
    (workshop.folder / "one.jsonl").write_text('{"prompt": "ab"}\n')
    words = {"data": "one.jsonl", "reward": with_reward(workshop, "given", list(GIVEN.values()))}
    (record,) = made(workshop, tmp_path / "one.jsonl", "--group_size=8", **words)
    assert record == {"prompt": "ab", "chosen": "b", "rejected": "ca", "chosen_reward": 2, "rejected_reward": 1}


def test_columns_about_an_older_answer_stay_out_of_the_pair(workshop, tmp_path):
    about = {
        "label": False,
        "train": False,
        "weight": 0,
        "margin": 7.0,
        "rejected": "x",
        "rejected_response": "x",
        "chosen_reward": 7.0,
        "history": [["x", "y"]],
        "conversations": [],
        "loss_mask": [0],
        "sample_weight": 0.5,
        "skill": "word",
    }
    chats = ([{"role": "user", "content": word}, {"role": "assistant", "content": "y"}] for word in ("ab", "ca"))
    lines = (json.dumps({"messages": chat} | about) for chat in chats)
    (workshop.folder / "about.jsonl").write_text("\n".join(lines))
    records = made(workshop, tmp_path / "about.jsonl", data="about.jsonl")
    kept = {"rejected", "chosen_reward", "skill"}
    assert records and all(record.keys() & about.keys() == kept for record in records)
    assert all(record["chosen_reward"] <= 1 for record in records)
    kind, _ = kind_of_file(tmp_path / "about.jsonl", ("preference",))
    for document in all_documents(tmp_path / "about.jsonl", kind, "reading"):
        (pair,) = document.content.pairs
        assert pair.margin == 0 and pair.rejected.messages[-1]["content"] != "x" and not pair.chosen.untrained


def test_a_column_that_only_other_records_have_is_given_as_none(workshop, tmp_path):
    lines = [{"prompt": "ab", "answer": "ab"}, *({"prompt": word} for word in ("ca", "cb"))]
    (workshop.folder / "some.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rated = "[None if a is None else len(c) for a, c in zip(answer, completions)]"
    (workshop.folder / "needs.py").write_text(f"def needs(prompts, completions, answer):\n    return {rated}\n")
    records = made(workshop, tmp_path / "some.jsonl", "--group_size=300", data="some.jsonl", reward="needs.py:needs")
    assert {record["prompt"] for record in records} == {"ab"}


def test_without_a_pair_the_reason_is_said_and_no_file_is_left(workshop, tmp_path):
    for reward, flags, reason in (
        (with_reward(workshop, "equal", "[1] * len(completions)"), (), "the answers to a prompt have equal rewards"),
        (with_reward(workshop, "none", "[None] * len(completions)"), (), "hardly a prompt has two different whole"),
        ("my_reward.py:letters", ("--temperature=0.001",), "hardly a prompt has two different whole"),  # one answer
        ("my_reward.py:letters", ("--max_new_tokens=62",), "the prompts are too long"),
    ):
        with pytest.raises(SproutError, match=f"there is no pair, since {reason}"):
            made(workshop, tmp_path / "no.jsonl", *flags, reward=reward)
        assert not (tmp_path / "no.jsonl").exists()


def test_the_network_of_adapters_has_to_be_merged_first(workshop, tmp_path, capsys):
    lora = Workshop(workshop.folder, "lora")
    start = [f"--from_weight={workshop.result('out').weight_file}"]
    lora.train("out", "--max_steps=2", "--eval_interval=0", begins=start)
    made(workshop, tmp_path / "lora.jsonl", "--lora=lora", "--lora_scale=0.5")
    said = capsys.readouterr().err
    assert "scripts/merge_lora.py --lora lora --lora_scale 0.5 --weight_name merged" in said
    assert "train_dpo.py --from_weight merged" in said


def test_what_cannot_be_made_is_refused_before_anything_is_sampled(workshop, tmp_path):
    path = tmp_path / "there.jsonl"
    path.write_text("mine\n")
    for flags, said in (
        ((), "exists already"),
        (("--group_size=1",), "compares an answer with no other"),
        (("--pairs_per_prompt=4",), "takes 8 answers, and --group_size is 6"),
        (("--temperature=1e-9",), "1e-9 is too near to 0, where answers no longer differ: give more"),
        (("--group_size=513",), "is more than the 512 answers of a batch"),
        (("--lora_scale=0.5",), "--lora_scale is for --lora"),
        (("--max_new_tokens=64",), "leaves no room for a prompt in 64 tokens"),
    ):
        target = path if not flags else tmp_path / "new.jsonl"
        with pytest.raises(UsageError, match=said):
            made(workshop, target, *flags)
    assert path.read_text() == "mine\n" and not (tmp_path / "new.jsonl").exists()


def test_a_file_of_another_kind_leaves_nothing_behind(workshop, tmp_path, capsys):
    with pytest.raises(SproutError, match="this is a text, for train_pretrain.py"):
        made(workshop, tmp_path / "new.jsonl", data="a.jsonl")
    assert not (tmp_path / "new.jsonl").exists() and "0 prompts" not in capsys.readouterr().err


def test_a_prompt_without_room_is_left_out_and_counted(workshop, tmp_path, capsys):
    """The prompt and the longest answer have the 64 positions of the network, and not one more."""
    renderer = ChatRenderer(load_model(workshop.result("out").weight_file).tokenizer)
    texts = ["a" + "b" * count for count in range(60)]
    lengths = {len(renderer.prompt([{"role": "user", "content": text}])): text for text in texts}
    fits, too_long = lengths[64 - 6], lengths[64 - 6 + 1]
    lines = [{"prompt": text} for text in (fits, too_long, "ab", "cab", "bb")]
    (workshop.folder / "long.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    reward = with_reward(workshop, "places", "list(range(len(completions)))")
    records = made(workshop, tmp_path / "short.jsonl", data="long.jsonl", reward=reward)
    asked = {record["prompt"] for record in records}
    assert fits in asked and too_long not in asked
    assert "and 1 are too long" in capsys.readouterr().err


@pytest.fixture
def batches(monkeypatch) -> list:
    """What `converse` returned for the prompts of each batch: two prompts with six answers."""
    rewards_of, seen = paired_answers.rewards_of, []
    monkeypatch.setattr(paired_answers, "rewards_of", lambda *args: seen.append(args[2]) or rewards_of(*args))
    monkeypatch.setattr(make_pairs, "ANSWERS_AT_ONCE", 12)
    return seen


@pytest.mark.parametrize("characters, number", [(10**6, 2), (1, 4)])
def test_the_same_prompt_has_other_answers_in_each_batch(workshop, tmp_path, batches, monkeypatch, characters, number):
    """Whether a batch is of as many prompts as there may be or, in a large file, of those that were read together."""
    monkeypatch.setattr("model.text.tokenizer.MAX_CHARACTERS", characters)
    (workshop.folder / "same.jsonl").write_text('{"prompt": "ab"}\n' * 4)
    made(workshop, tmp_path / "same.jsonl", data="same.jsonl")
    assert len({str([one.ids for one in batch[:6]]) for batch in batches}) == len(batches) == number


def test_tokens_that_were_never_trained_are_not_written(workshop, tmp_path, batches):
    tokenizer = load_model(workshop.result("out").weight_file).tokenizer
    extend(tokenizer, ["Sprout grows, Sprout grows"] * 3, 40, 16).save(tmp_path / "more")
    with contextlib.suppress(SproutError):  # few answers are whole, at that temperature
        made(workshop, tmp_path / "more.jsonl", "--temperature=5", f"--tokenizer_path={tmp_path / 'more'}")
    ids = [token for batch in batches for one in batch for token in one.last_turn]
    assert len(ids) > 50 and max(ids) < tokenizer.vocab_size


def test_a_prompt_with_tools_keeps_them(workshop, tmp_path):
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
    (workshop.folder / "tools.jsonl").write_text(json.dumps({"prompt": "ab", "tools": tools}) + "\n")
    reward = with_reward(workshop, "places", "list(range(len(completions)))")
    (record,) = made(workshop, tmp_path / "tools.jsonl", "--rope_scaling_factor=64", data="tools.jsonl", reward=reward)
    assert record["tools"] == tools


def test_the_file_of_a_run_that_was_faster_stays(workshop, tmp_path):
    """It is made while this run reads its network and its rewards."""
    file = tmp_path / "pairs.jsonl"
    reward = "def letters(prompts, completions, **columns):\n    return [0.0] * len(completions)\n"
    (workshop.folder / "late.py").write_text(f"open({str(file)!r}, 'w').write('theirs')\n{reward}")
    with pytest.raises(UsageError, match="pairs.jsonl exists already, and is left as it is"):
        made(workshop, file, reward="late.py:letters")
    assert file.read_text() == "theirs"


def killed_after(monkeypatch, batches: int) -> None:
    """A run ends as if by Ctrl-C when it begins the batch after so many; batches are of two prompts."""
    groups, begun = paired_answers.Answering.groups, []

    def counted(*args):
        begun.append(args)
        if len(begun) > batches:
            raise KeyboardInterrupt
        return groups(*args)

    monkeypatch.setattr(paired_answers.Answering, "groups", counted)
    monkeypatch.setattr(make_pairs, "ANSWERS_AT_ONCE", 12)


def test_an_interrupted_run_goes_on_to_the_same_bytes(workshop, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(make_pairs, "ANSWERS_AT_ONCE", 12)
    whole = made(workshop, tmp_path / "whole.jsonl", "--pairs_per_prompt=2")
    whole_said = capsys.readouterr().err
    path = tmp_path / "killed.jsonl"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        killed_after(patch, 1)
        made(workshop, path, "--pairs_per_prompt=2")
    assert "with --resume goes on" in capsys.readouterr().err
    with path.open("a") as file:
        file.write('{"prompt": "of a batch that was not no')
    with pytest.raises(UsageError, match="is of a run that did not end: go on with it by --resume"):
        made(workshop, path, "--pairs_per_prompt=2")
    assert made(workshop, path, "--pairs_per_prompt=2", "--resume") == whole
    assert path.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    said = [
        [line for line in text.splitlines() if " pairs from " in line] for text in (whole_said, capsys.readouterr().err)
    ]
    assert said[0] == said[1] and len(said[0]) == 1
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith("killed")] == ["killed.jsonl"]
    with pytest.raises(UsageError, match="of no run that was interrupted"):
        made(workshop, path, "--resume")


def test_a_run_goes_on_only_as_it_began(workshop, tmp_path, monkeypatch):
    path = tmp_path / "pairs.jsonl"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        killed_after(patch, 2)
        made(workshop, path)
    before = path.read_bytes()
    for flags, said in (
        ({"reward": with_reward(workshop, "another", "[0.5] * len(completions)")}, "--reward"),
        ({"data": "chat_a.jsonl"}, "--data_path"),
        ("--seed=1", "--seed"),
        ("--pairs_per_prompt=2", "--pairs_per_prompt"),
        ("--group_size=8", "--group_size"),
        ("--temperature=0.5", "--temperature"),
        ("--max_new_tokens=5", "--max_new_tokens"),
        ("--dtype=bfloat16", "--dtype"),
        ("--format=prompt", "--format"),
        ("--rope_scaling_factor=2", "network"),
    ):
        words, files = ((flags,), {}) if isinstance(flags, str) else ((), flags)
        with pytest.raises(UsageError, match=f"began with another {said}: give the same"):
            made(workshop, path, "--resume", *words, **files)
    assert path.read_bytes() == before
    path.write_bytes(before[:-3])
    with pytest.raises(SproutError, match="is not as its run left it: remove it and .*progress, and begin anew"):
        made(workshop, path, "--resume")


def test_a_run_that_got_nowhere_leaves_nothing(workshop, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        killed_after(patch, 0)
        made(workshop, tmp_path / "none.jsonl")
    assert not list(tmp_path.iterdir())
    assert made(workshop, tmp_path / "none.jsonl", "--resume")
    assert f"there is no unfinished run of {tmp_path / 'none.jsonl'}: begins" in capsys.readouterr().err
