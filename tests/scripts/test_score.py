"""scripts/score.py: rewards of answers and of files, by a whole reward model or by adapters."""

import json

import pytest
import torch

from dataset.records import measured
from inference import scoring
from inference.scoring import Agreement, score_conversations, score_ids
from model.files.adapters import save_lora
from model.files.checkpoint import save_weights
from model.files.loading import load_model
from model.files.reward import load_reward
from model.fingerprint import fingerprint
from model.lora import Lora, add_lora
from model.reward import RewardModel
from model.whole import SCORE
from scripts import score
from tests.stages.workshop import Workshop
from training.stages.arguments import run_main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random reward model, whole and as adapters, with files of every kind that can be scored."""
    folder = Workshop.create(tmp_path_factory.mktemp("workshop"), "reward").folder
    loaded = load_model(folder / "start.pth")
    add_lora(loaded.model, Lora(2, 4.0, base=fingerprint(loaded.model), base_path=str(folder / "start.pth")))
    model, generator = RewardModel.of(loaded.model), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name or name == SCORE:
                parameter.normal_(generator=generator)
    (folder / "out" / "lora").mkdir(parents=True)
    save_lora(folder / "out" / "lora" / "judge_32.pth", model, stage="reward")
    whole = RewardModel.of(load_model(folder / "start.pth").model)
    torch.nn.init.normal_(whole.score.weight, generator=torch.Generator().manual_seed(1))
    save_weights(folder / "out" / "reward_32.pth", whole, loaded.tokenizer, stage="reward")
    (folder / "scored.jsonl").write_text(
        "".join(json.dumps({"input": "ab" * n, "output": "c", "score": n}) + "\n" for n in range(1, 6))
    )
    choices = [{"text": text, "rank": rank} for rank, text in enumerate("abc")]
    (folder / "ranked.jsonl").write_text(json.dumps({"input": "x", "choices": choices}) + "\n")
    return folder


@pytest.fixture
def run(folder, capsys):
    def run_with(*words) -> str:
        score.main(["--out_dir", str(folder / "out"), "--device", "cpu", "--dtype", "float32", *map(str, words)])
        return capsys.readouterr().out

    return run_with


def refusal(folder, capsys, *words) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stopped:
        run_main(lambda: score.main(["--out_dir", str(folder / "out"), "--device", "cpu", *map(str, words)]))
    err = capsys.readouterr().err
    assert err.count("error: ") == 1
    return stopped.value.code, err.splitlines()[-1]


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_rewards_do_not_depend_on_what_is_scored_together(folder):
    model, shares = load_reward(folder / "out" / "reward_32.pth").model.train(), []
    every = [[5] * 8, [6, 7], [], [8] * 9, [9, 0], [0], [9]]
    settings = {"max_seq_len": 8, "batch_size": 3}
    found = score_ids(model, every, 0, **settings, show=shares.append)
    assert [place for place, value in enumerate(found) if value is None] == [2, 3]  # empty, and longer than 8
    alone = [score_ids(model, [ids], 0, **settings)[0] for ids in every]
    assert [found[place] for place in (0, 1, 4, 5, 6)] == pytest.approx([alone[place] for place in (0, 1, 4, 5, 6)])
    assert shares == sorted(shares) and len(shares) == 2 and shares[-1] == 1 and model.training
    model.skips_padding = True
    skipping = score_ids(model, every, 0, **settings)
    assert skipping[4] == pytest.approx(found[6]) != found[4] and skipping[5] == pytest.approx(found[5])


def test_figures_of_pairs_count_a_tie_as_wrong_and_leave_out_what_is_too_long():
    figures = Agreement("preference")
    for rewards in ([2.0, -1.0], [0.5, 0.5, 1.0, 4.0], [9.0, None]):
        figures.add(None, rewards)
    assert figures.figures() == {
        "accuracy": pytest.approx(1 / 3),
        "margin": pytest.approx((3 + 0 - 3) / 3),
        "min_reward": -1.0,
        "mean_reward": pytest.approx((2 - 1 + 0.5 + 0.5 + 1 + 4) / 6),
        "max_reward": 4.0,
        "pairs": 3,
        "left_out": 1,
    }


def test_a_field_called_reward_is_replaced_and_rewards_have_six_digits(run, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"input": "a", "output": "b", "score": 1, "reward": "old"}\n')
    run("--data_path", path, "--save_scores", tmp_path / "b.jsonl")
    (saved,), alone = lines(tmp_path / "b.jsonl"), json.loads(run("--prompt", "a", "--answer", "b", "--json"))["reward"]
    assert saved["reward"] == float(f"{alone:.6g}") != float(f"{alone:.3g}")


def test_where_no_record_fits_no_file_is_left(folder, capsys, tmp_path):
    words = ("--data_path", folder / "scored.jsonl", "--max_seq_len", 2, "--save_scores", tmp_path / "b.jsonl")
    code, sentence = refusal(folder, capsys, *words)
    assert code == 1 and "is too long: give a larger --max_seq_len" in sentence and not list(tmp_path.iterdir())
    code, sentence = refusal(folder, capsys, "--prompt", "a", "--answer", "b", "--max_seq_len", 2)
    assert code == 1 and "the conversation is longer than --max_seq_len" in sentence


def test_answers_of_a_prompt(run):
    shown = run("--prompt", "abc", "--answer", "abc", "--answer", "xyz").splitlines()
    found = [
        json.loads(line) for line in run("--prompt", "abc", "--answer", "abc", "--answer", "xyz", "--json").splitlines()
    ]
    assert [one["answer"] for one in found] == ["abc", "xyz"] and found[0]["reward"] != found[1]["reward"]
    assert shown == [f"{one['reward']:+.4f}  {one['answer']}" for one in found]
    other = json.loads(run("--prompt", "abc", "--answer", "abc", "--system", "Be brief.", "--json"))
    assert other["reward"] != found[0]["reward"]


def test_pairs_and_their_accuracy(run, folder, tmp_path):
    path = tmp_path / "more" / "rewards.jsonl"
    result = json.loads(run("--data_path", folder / "pairs_a.jsonl", "--save_scores", path, "--json"))
    saved, data = lines(path), lines(folder / "pairs_a.jsonl")
    assert [{k: v for k, v in one.items() if k != "rewards"} for one in saved] == data
    pairs = [one["rewards"][0] for one in saved]
    assert result["kind"] == "preference" and result["pairs"] == len(data) == 16 and result["left_out"] == 0
    assert result["accuracy"] == sum(chosen > rejected for chosen, rejected in pairs) / 16
    assert result["margin"] == pytest.approx(sum(chosen - rejected for chosen, rejected in pairs) / 16, abs=1e-4)
    alone = json.loads(run("--prompt", data[3]["prompt"], "--answer", data[3]["chosen"], "--json"))
    assert pairs[3][0] == pytest.approx(alone["reward"], abs=1e-4)
    assert "accuracy" in run("--data_path", folder / "pairs_a.jsonl", "--batch_size", 3)


def test_ranked_choices_are_pairs(run, folder, tmp_path):
    result = json.loads(run("--data_path", folder / "ranked.jsonl", "--save_scores", tmp_path / "r.jsonl", "--json"))
    assert result["pairs"] == 3 and len(lines(tmp_path / "r.jsonl")[0]["rewards"]) == 3


def test_scored_answers_against_their_scores(run, folder, tmp_path):
    words = ("--data_path", folder / "scored.jsonl", "--save_scores", tmp_path / "r.jsonl", "--json")
    result, saved = json.loads(run(*words)), lines(tmp_path / "r.jsonl")
    squares = [(one["reward"] - one["score"]) ** 2 for one in saved]
    assert result["answers"] == 5 and result["mean_square_error"] == pytest.approx(sum(squares) / 5, rel=1e-4)
    assert result["explained"] == pytest.approx(1 - sum(squares) / 5 / 2, rel=1e-4)  # 1 to 5: variance 2


def test_chats_and_groups_of_them(run, folder):
    result = json.loads(run("--data_path", folder / "chat_a.jsonl", "--json"))
    assert result["kind"] == "chat" and result["conversations"] == 24
    assert result["min_reward"] <= result["mean_reward"] <= result["max_reward"]
    shown = run("--data_path", folder / "scored.jsonl", "--by", "score").splitlines()
    assert len(shown) == 6 and shown[0].startswith("score 1: ")


def test_what_is_too_long_is_counted_and_none_at_all_an_error(run, folder, capsys, tmp_path):
    result = json.loads(run("--data_path", folder / "scored.jsonl", "--max_seq_len", 28, "--json"))
    assert result["left_out"] > 0 and result["answers"] + result["left_out"] == 5
    words = ("--data_path", folder / "scored.jsonl", "--save_scores", tmp_path / "a.jsonl")
    code, sentence = refusal(folder, capsys, *words, "--max_seq_len", 3)
    assert code == 1 and "give a larger --max_seq_len" in sentence
    assert not list(tmp_path.iterdir())  # or the next run would be refused


def test_equal_scores_have_no_variance_that_could_be_explained(run, tmp_path):
    for scores in ([0.7] * 7, [1e5, 1e5 + 1e-3, 1e5 + 2e-3]):
        records = [{"input": "a" * (n + 1), "output": "c", "score": score} for n, score in enumerate(scores)]
        (tmp_path / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        result = json.loads(run("--data_path", tmp_path / "a.jsonl", "--json"))
        if scores[0] == scores[1]:
            assert "explained" not in result
        else:
            variance = torch.tensor(scores, dtype=torch.float64).var(correction=0).item()
            assert result["explained"] == pytest.approx(1 - result["mean_square_error"] / variance, rel=1e-4)


def test_groups_are_named_on_one_line_and_what_is_too_long_is_counted_in_them(run, folder, capsys, tmp_path):
    path, record = tmp_path / "a.jsonl", {"input": "a", "output": "c", "score": 1}
    groups = [record | {"G": "long", "input": "a" * 99}, record | {"G": "a\n\x1b[31m\ud800"}]
    path.write_text("".join(json.dumps(one) + "\n" for one in groups))
    shown = run("--data_path", path, "--by", "G", "--max_seq_len", 64).splitlines()
    assert len(shown) == 3 and shown[0].startswith(r"G a\n\x1b[31m\ud800: mean_square_error ")
    assert shown[1] == "G long: answers 0  left_out 1"
    code, sentence = refusal(folder, capsys, "--data_path", path, "--by", "flaw")
    assert code == 2 and "--by flaw is a key that no record of" in sentence


def test_rewards_that_are_no_numbers_are_refused(folder, capsys, tmp_path):
    loaded = load_model(folder / "start.pth")
    model = RewardModel.of(loaded.model)
    torch.nn.init.constant_(model.score.weight, float("nan"))
    save_weights(tmp_path / "reward_32.pth", model, loaded.tokenizer, stage="reward")
    weight = ("--weight_path", tmp_path / "reward_32.pth", "--json")
    for what in (("--prompt", "a", "--answer", "b"), ("--data_path", folder / "pairs_a.jsonl")):
        code, sentence = refusal(folder, capsys, *weight, *what)
        assert code == 1 and "computes values that are not numbers" in sentence


def test_records_are_saved_as_json_whatever_is_in_them(run, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"input": "a", "output": "b", "score": 1, "large": 1e999, "half": "\\ud800"}\n')
    (tmp_path / ".b.jsonl.99999999.tmp").touch()  # of a run that was killed
    run("--data_path", path, "--save_scores", tmp_path / "b.jsonl")
    assert not list(tmp_path.glob(".*.tmp"))
    text = (tmp_path / "b.jsonl").read_text("utf-8")
    saved = json.loads(text, parse_constant=pytest.fail)
    assert (saved["large"], saved["half"]) == (None, "\ud800") and "reward" in saved


def in_parts_of_five(monkeypatch, parts: int | None = None) -> None:
    """Five records are a part; after so many parts the run ends as if by Ctrl-C."""
    monkeypatch.setattr(measured, "_characters", lambda document: 250_000)
    scored = score_conversations

    def interrupted(model, renderer, conversations, **named):
        nonlocal parts
        if parts == 0 and conversations:
            raise KeyboardInterrupt
        parts = parts and parts - bool(conversations)
        return scored(model, renderer, conversations, **named)

    monkeypatch.setattr(scoring, "score_conversations", interrupted)


@pytest.mark.parametrize("data", ["pairs_a.jsonl", "chat_a.jsonl"])
def test_an_interrupted_run_goes_on_to_the_same_scores(run, folder, tmp_path, monkeypatch, capsys, data):
    words = ("--data_path", folder / data, "--json", "--save_scores")
    in_parts_of_five(monkeypatch)
    figures = run(*words, tmp_path / "whole.jsonl")
    killed = tmp_path / "killed.jsonl"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        in_parts_of_five(patch, parts=2)
        run(*words, killed)
    said = capsys.readouterr().err
    assert "keeps what was found; the same command with --resume goes on" in said and len(lines(killed)) == 10
    with killed.open("a") as file:
        file.write('{"prompt": "of a part that was not no')
    code, sentence = refusal(folder, capsys, *words, killed)
    assert code == 2 and "is of a run that did not end: go on with it by --resume" in sentence
    in_parts_of_five(monkeypatch, parts=-(-len(lines(folder / data)) // 5) - 2)
    assert run(*words, killed, "--resume") == figures  # what was scored is not scored again
    assert killed.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed.jsonl", "whole.jsonl"]


def test_a_run_goes_on_only_with_the_records_and_the_model_that_it_began_with(
    run, folder, tmp_path, monkeypatch, capsys
):
    data, path = tmp_path / "data.jsonl", tmp_path / "scores.jsonl"
    data.write_text((folder / "chat_a.jsonl").read_text())
    words = ("--data_path", data, "--save_scores", path)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        in_parts_of_five(patch, parts=2)
        run(*words)
    before, records = path.read_bytes(), data.read_text().splitlines(True)
    for given, named in (
        (records[:1] + records[2:], "line 2, is not the record that was scored: go on with the file that"),
        (records[:4], "has fewer records than were scored: go on with the file that"),
    ):
        data.write_text("".join(given))
        code, sentence = refusal(folder, capsys, *words, "--resume", "--dtype", "float32")
        assert code == 2 and named in sentence and path.read_bytes() == before
    code, sentence = refusal(folder, capsys, *words, "--resume", "--dtype", "bfloat16")
    assert code == 2 and "began with another --dtype" in sentence
    other = load_reward(folder / "out" / "reward_32.pth")
    with torch.no_grad():
        other.model.score.weight.neg_()
    save_weights(tmp_path / "reward_32.pth", other.model, other.tokenizer, stage="reward")
    weight = ("--weight_path", tmp_path / "reward_32.pth", "--dtype", "float32")
    code, sentence = refusal(folder, capsys, *words, "--resume", *weight)  # the same network under another head
    assert code == 2 and "began with another reward model" in sentence
    data.write_text("".join(records[:12]))  # what was mended behind the scored ones may be another
    run(*words, "--resume")
    assert len(lines(path)) == 12 and path.read_bytes().startswith(before)


def test_adapters_find_their_network(run, folder):
    words = ("--prompt", "abc", "--answer", "abc", "--json")
    by_adapters = json.loads(run("--lora", "judge", *words))["reward"]
    assert by_adapters != json.loads(run(*words))["reward"]
    named = json.loads(
        run("--lora", folder / "out" / "lora" / "judge_32.pth", "--from_weight", folder / "start.pth", *words)
    )
    assert named["reward"] == by_adapters
    own = json.loads(run("--lora", "judge", "--tokenizer_path", folder / "tokenizer", *words))
    assert own["reward"] == by_adapters


@pytest.mark.parametrize(
    "words, code, named",
    [
        ((), 2, "--prompt"),
        (("--prompt", "a"), 2, "give --answer"),
        (("--prompt", "a", "--answer", " "), 2, '"completion" is empty'),
        (("--data_path", "{f}/pairs_a.jsonl", "--answer", "a"), 2, "--answer is for --prompt"),
        (("--prompt", "a", "--answer", "b", "--by", "skill"), 2, "--by is for --data_path"),
        (("--data_path", "{f}/scored.jsonl", "--resume"), 2, "--resume goes on with the file of --save_scores"),
        (("--data_path", "{f}/scored.jsonl", "--save_scores="), 2, "--save_scores is empty, as an unset variable is"),
        (("--prompt", "a", "--answer", "b", "--lora", "judge", "--weight_path", "x"), 2, "give one of them"),
        (("--prompt", "a", "--answer", "b", "--lora", "judge", "--weight", "x"), 2, "give one of them"),
        (("--prompt", "a", "--answer", "b", "--weight", "x", "--weight_path", "y"), 2, "does not go with"),
        (("--prompt", "a", "--answer", "b", "--from_weight", "x"), 2, "is the network of --lora"),
        (("--prompt", "a", "--answer", "b", "--tokenizer_path", "x"), 2, "--tokenizer_path is for --lora"),
        (("--data_path", "{f}/scored.jsonl", "--save_scores", "{f}/scored.jsonl"), 2, "exists already, and is left"),
        (("--prompt", "a", "--answer", "b", "--weight", "other"), 2, "no weight called other"),
        (
            ("--prompt", "a", "--answer", "b", "--weight_path", "{f}/start.pth"),
            1,
            "is a language model, not a reward model",
        ),
        (("--data_path", "{f}/a.jsonl"), 1, "the record is of another kind"),
        (("--data_path", "{f}/nowhere.jsonl"), 1, "there is no such file"),
        (
            ("--prompt", "a", "--answer", "b", "--max_seq_len", "99999"),
            2,
            "positions of the network: give at most that",
        ),
    ],
)
def test_what_cannot_be_scored_is_one_sentence(folder, capsys, words, code, named):
    found, sentence = refusal(folder, capsys, *(word.format(f=folder) for word in words))
    assert found == code and named in sentence, sentence
