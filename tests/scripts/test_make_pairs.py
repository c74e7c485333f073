"""scripts/make_pairs.py: pairs of a better and a worse answer that the network itself gave."""

import json
import math

import pytest

from dataset.records.measured import all_documents, kind_of_file
from dataset.rendering import ChatRenderer
from model.errors import SproutError, UsageError
from model.files.loading import load_model
from scripts.make_pairs import main
from tests.stages.workshop import Workshop
from training.rewards.pairs import pairs_of

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
    main([*files, f"--reward={folder / reward}", *FLAGS, *flags])
    return [json.loads(line) for line in save_file.read_text().splitlines()]


def test_answers_are_rated_as_in_grpo_and_come_back_as_they_were_sampled(workshop, tmp_path, capsys):
    """The reward counts letters; what train_dpo.py reads of a pair are the ids that the network wrote."""
    records = made(workshop, tmp_path / "new" / "pairs.jsonl")
    assert 2 <= len(records) <= 5
    for record in records:
        chosen, rejected = (record[side].count("a") / 6 for side in ("chosen", "rejected"))
        assert record["chosen_reward"] == chosen > rejected == record["rejected_reward"]
    assert records[0]["skill"] == "word" and records[0]["answer"] == records[0]["prompt"]
    said = capsys.readouterr().err
    assert f"{len(records)} pairs from 5 prompts with 6 answers each" in said
    assert "train_dpo.py --from_weight" in said

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


def test_the_last_answer_of_a_chat_is_the_right_one(workshop, tmp_path):
    (workshop.folder / "own.py").write_text("def own(prompts, completions, answer):\n    return [len(t) for t in answer]\n")
    with pytest.raises(SproutError, match="no prompt has two whole answers whose rewards differ"):
        made(workshop, tmp_path / "none.jsonl", data="chat_a.jsonl", reward="own.py:own")
    assert not (tmp_path / "none.jsonl").exists()


def test_what_cannot_be_made_is_refused_before_anything_is_sampled(workshop, tmp_path):
    path = tmp_path / "there.jsonl"
    path.write_text("mine\n")
    for flags, said in (
        ((), "exists already"),
        (("--group_size=1",), "compares an answer with no other"),
        (("--pairs_per_prompt=4",), "takes 8 answers, and --group_size is 6"),
        (("--lora_scale=0.5",), "--lora_scale is for --lora"),
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
    lines = [{"prompt": "abc " * 40}, {"prompt": "ab"}, {"prompt": "cab"}, {"prompt": "bb"}]
    (workshop.folder / "long.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    records = made(workshop, tmp_path / "short.jsonl", data="long.jsonl")
    assert records and all(len(record["prompt"]) < 5 for record in records)
    assert "1 too long" in capsys.readouterr().err
