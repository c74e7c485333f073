"""GRPO as a user runs it: an update equals the formula, the first ratio is 1, and what goes wrong is said."""

import json
from unittest import mock

import pytest
import torch

from dataset.cache.prompts import StoredPrompt
from model.errors import SproutError
from model.files.checkpoint import save_weights
from model.files.loading import load_model
from tests.stages.workshop import Workshop, another_reference
from training.rewards.loading import Reward
from training.stages.answer_rows import Answer
from training.stages.groups import Groups
from training.stages.mixed_in import MixedIn
from training.stages.rated_answers import rewards_of
from training.stages.rollout_report import shown
from training.stages.rollouts import from_kept

ONE = ("--max_steps=1", "--eval_interval=0", "--learning_rate=0.001")
REWARDS = """def same(prompts, completions):
    return [1] * len(completions)

def never(prompts, completions):
    return [None] * len(completions)

def first_byte(prompts, completion_ids):
    return [float(ids[0] % 7) if ids[0] % 5 else None for ids in completion_ids]
"""


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grpo")
    Workshop.create(folder, "grpo")
    (folder / "rewards.py").write_text(REWARDS)
    return Workshop(folder, "grpo")


def seen(workshop, out: str, *words, reward: str = "my_reward.py:letters") -> tuple[dict, torch.nn.Module]:
    """What a run keeps of the answers of its last step, and the policy with the gradient that the optimizer got."""
    found, sample = [], Groups.sample

    def sampled(self, *args):
        found[:] = sample(self, *args), self.policy
        return found[0]

    with mock.patch.object(Groups, "sample", sampled):
        run(workshop, out, reward, *words)
    return tuple(found)


def run(workshop, out: str, reward: str, *words):
    """A run with this reward in place of that of the table of stages."""
    command, folder = workshop.command(out, *words), workshop.folder
    command[command.index(f"--reward={folder}/my_reward.py:letters")] = f"--reward={folder}/{reward}"
    workshop.main(command)
    return workshop.result(out)


def log_p_of(network, answer) -> torch.Tensor:
    """log p of the actions of an answer at a temperature of 0.7."""
    log_p = (network(torch.tensor([answer.ids[:-1]]))[0] / 0.7).log_softmax(dim=-1)
    where = [i - 1 for i, action in enumerate(answer.actions) if action]
    return log_p[where, torch.tensor(answer.ids)[1:][where]]


def test_an_update_equals_the_formula_computed_answer_by_answer(workshop):
    """By the code of the stage: packed rows, micro-batches, advantages with answers that are not rated."""
    words = ("--grad_clip=0", "--temperature=0.7")
    kept, policy = seen(workshop, "formula", *ONE, *words, reward="rewards.py:first_byte")
    network = load_model(workshop.folder / "start.pth").model.double()
    answers, size, loss = from_kept(kept), 4, 0.0
    worth = [a.completion[0] % 7 if a.completion[0] % 5 else None for a in answers]
    assert None in worth and len(answers) == 16
    for start in range(0, len(answers), size):
        rated = torch.tensor([w for w in worth[start : start + size] if w is not None], dtype=torch.float64)
        for answer, value in zip(answers[start : start + size], worth[start : start + size], strict=True):
            if value is None or len(rated) < 2 or rated.std() == 0:
                continue
            advantage = (value - rated.mean()) / (rated.std() + 1e-4)
            loss -= advantage * log_p_of(network, answer).sum()
    (loss / sum(sum(answer.actions) for answer in answers)).backward()
    wanted = torch.cat([p.grad.flatten() for p in network.parameters()])
    found = torch.cat([p.grad.flatten() for p in policy.parameters()])
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-5 * wanted.abs().max().item())


def test_the_kl_to_the_reference_joins_by_its_weight(workshop):
    """Equal rewards leave nothing else to learn. With d = log p_ref - log p, its gradient is -d times that of log p."""
    with another_reference() as copies:
        words = (*ONE, "--grad_clip=0", "--temperature=0.7", "--kl_coef=0.3")
        kept, policy = seen(workshop, "kl", *words, reward="rewards.py:same")
    network, reference, loss = load_model(workshop.folder / "start.pth").model.double(), copies[0].double(), 0.0
    answers = from_kept(kept)
    for index, answer in enumerate(answers):
        log_p, wanted = log_p_of(network, answer), log_p_of(reference, answer).detach()
        torch.testing.assert_close(kept["reference"][index, : len(wanted)].double(), wanted, atol=1e-4, rtol=1e-4)
        loss -= 0.3 * ((wanted - log_p).detach() * log_p).sum()
    (loss / sum(sum(answer.actions) for answer in answers)).backward()
    wanted = torch.cat([p.grad.flatten() for p in network.parameters()])
    found = torch.cat([p.grad.flatten() for p in policy.parameters()])
    assert wanted.norm() > 1e-3
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-4 * wanted.abs().max().item())


@pytest.mark.parametrize("source", ["chat_b.jsonl", "b.jsonl"], ids=["fine-tuning", "pretraining"])
def test_the_loss_of_an_earlier_stage_joins_by_its_weight(workshop, source):
    """Equal rewards leave nothing else to learn; the file is one record, so every micro-batch brings the same."""
    path = workshop.folder / f"kept_{source}"
    path.write_text((workshop.folder / source).read_text().splitlines()[0] + "\n")
    mixed, create = [], MixedIn.__init__
    with mock.patch.object(MixedIn, "__init__", lambda self, *args: mixed.append(self) or create(self, *args)):
        words = (*ONE, "--grad_clip=0", "--ptx_weight=0.3", f"--ptx_path={path}", "--loss_type=grpo", "--batch_size=1")
        _, policy = seen(workshop, "mixed_in", *words, reward="rewards.py:same")
    network, batch = load_model(workshop.folder / "start.pth").model.double(), mixed[0].rows[0].batch(0, [0])
    logits = network.lm_head(network.features(batch.tokens, batch.positions))
    (0.3 * torch.nn.functional.cross_entropy(logits.flatten(0, -2), batch.targets.flatten())).backward()
    wanted = torch.cat([p.grad.flatten() for p in network.parameters()])
    found = torch.cat([p.grad.flatten() for p in policy.parameters()])
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-5 * wanted.abs().max().item())


def test_what_is_left_out_of_the_conversations_is_said(workshop):
    line = json.loads((workshop.folder / "chat_b.jsonl").read_text().splitlines()[0])
    path, said = workshop.folder / "left_out.jsonl", []
    path.write_text(f"{json.dumps(line)}\n{json.dumps(line | {'train': False})}\n")
    settings = {
        "ptx_weight": 1.0,
        "ptx_path": [str(path)],
        "on_bad_line": "stop",
        "out_dir": str(workshop.folder),
        "max_seq_len": 32,
        "seed": 0,
    }
    MixedIn(mock.Mock(**settings), load_model(workshop.folder / "start.pth").tokenizer, None, said.append)
    assert any('"train": false' in each for each in said)


ASKS = """def by_difficulty(completions, difficulty):
    return [0.0] * len(completions)
"""


@pytest.mark.parametrize("reward, said", [("exact", "the records have none"), ("asks.py:by_difficulty", "difficulty")])
def test_a_reward_without_its_column_ends_a_run_before_it_writes(tmp_path, reward, said):
    workshop = Workshop.create(tmp_path, "grpo")
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "ab"}\n' * 40)
    (tmp_path / "asks.py").write_text(ASKS)
    run(workshop, "out", "my_reward.py:letters", *ONE)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if "cache" not in path.parts}
    words = workshop.command("out", *ONE, data=("prompts.jsonl",))
    words = [word for word in words if not word.startswith("--reward")]
    with pytest.raises(SproutError, match=said):
        workshop.main([*words, "--reward", reward if reward == "exact" else f"{tmp_path}/{reward}"])
    found = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if "cache" not in path.parts}
    assert found == before


def test_a_weight_is_the_share_of_a_file(workshop):
    """Of conversations and texts; without weights, all rows are equally likely."""
    files = [str(workshop.folder / name) for name in ("chat_b.jsonl", "b.jsonl")]
    settings = {"ptx_weight": 1.0, "out_dir": str(workshop.folder), "max_seq_len": 32, "seed": 0}
    settings["on_bad_line"] = "stop"
    tokenizer = load_model(workshop.folder / "start.pth").tokenizer

    def mixed(*sources) -> MixedIn:
        return MixedIn(mock.Mock(**settings, ptx_path=list(sources)), tokenizer, None, lambda _: None)

    alike = mixed(*files)
    assert alike.shares == [rows.rows_per_epoch for rows in alike.rows] and alike.shares[0] != alike.shares[1]
    weighted = mixed(f"{files[0]}:0.6", f"{files[1]}:0.2")
    assert weighted.shares == [0.6, 0.2]


def test_what_is_mixed_in_obeys_on_bad_line_and_is_warned_about(workshop, tmp_path):
    path = tmp_path / "odd.jsonl"
    lines = (workshop.folder / "b.jsonl").read_text().splitlines()
    path.write_text("\n".join([*lines[:1] * 40, "nonsense"]) + "\n")
    settings = {"ptx_weight": 1.0, "ptx_path": [str(path)], "out_dir": str(tmp_path), "max_seq_len": 32, "seed": 0}
    tokenizer, said = load_model(workshop.folder / "start.pth").tokenizer, []
    with pytest.raises(SproutError, match="odd.jsonl:41: not valid JSON"):
        MixedIn(mock.Mock(**settings, on_bad_line="stop"), tokenizer, None, said.append)
    mixed = MixedIn(mock.Mock(**settings, on_bad_line="skip"), tokenizer, None, said.append)
    assert mixed.rows[0].caches[0].train.size.documents == 40
    assert [one for one in said if one.startswith("warning: about 98% of") or "are copies of other lines" in one]


def test_a_reward_may_change_the_messages_that_it_gets(workshop):
    def blanks(messages):
        return [turn.update(content="") or result.update(content="") or 1.0 for turn, result, *_ in messages]

    prompt = StoredPrompt([1], [{"role": "user", "content": "a"}], [], {})
    result = {"role": "tool", "content": "3"}
    answer = Answer([1, 2], [False, True], ended=True, last=1, between=[result])
    tokenizer = load_model(workshop.folder / "start.pth").tokenizer
    rewards_of([Reward("blanks", blanks)], [prompt], [answer], mock.Mock(max_new_tokens=1), tokenizer)
    assert prompt.messages == [{"role": "user", "content": "a"}] and result["content"] == "3"


def test_rewards_see_the_calls_and_results_of_an_answer_as_turns(workshop):
    """So does a reward model with another tokenizer, which reads the messages."""
    seen, tokenizer = [], load_model(workshop.folder / "start.pth").tokenizer
    asked = [{"role": "user", "content": "3 + 4?"}]
    between = [{"role": "assistant", "content": "<tool_call>...</tool_call>"}, {"role": "tool", "content": "7"}]
    prompt, said = tokenizer.encode("all that was read"), tokenizer.encode("It is 7.")
    answer = Answer([*prompt, *said], [False] * len(prompt) + [True] * len(said), True, len(prompt), 1, 0, between)

    def looks(messages, prompts):
        seen.extend(messages)
        return [1.0] * len(prompts)

    prompts = [StoredPrompt(prompt, asked, [], {})]
    rewards_of([Reward("looks", looks)], prompts, [answer], mock.Mock(max_new_tokens=1), tokenizer)
    assert seen == [[*asked, *between, {"role": "assistant", "content": "It is 7."}]]


@pytest.mark.parametrize("more", [(), ("--lora", "--lora_rank=4")])
def test_the_first_ratio_is_1_and_the_reference_is_the_first_policy(workshop, more):
    words = ("--mini_batches=2", "--inner_epochs=2", "--kl_coef=0.1", "--temperature=0.7", *more)
    kept, _ = seen(workshop, f"first{len(more)}", *ONE, *words, reward="rewards.py:first_byte")
    assert torch.equal(kept["old"], kept["reference"])
    (line,) = workshop.result(f"first{len(more)}").metrics
    assert abs(line["min_ratio_first"] - 1) < 1e-5 and abs(line["max_ratio_first"] - 1) < 1e-5
    assert line["min_ratio"] < 1 < line["max_ratio"]


def test_the_best_answer_is_that_of_the_largest_weighted_sum(capsys, workshop):
    """A weight below 0 turns the order around."""
    result = run(workshop, "best", "rewards.py:first_byte:-2", *ONE, "--sample_interval=1", "--table_rows=1")
    samples = [json.loads(line) for line in (result.logs / "samples.jsonl").read_text().splitlines()]
    rewards = [reward for each in samples if (reward := each["rewards"]["first_byte"]) is not None]
    assert min(rewards) < max(rewards) and [
        each["reward"] for each in samples if each["reward"] is not None
    ] == pytest.approx([-2 * reward for reward in rewards], abs=1e-5)
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("    [first_byte ")]
    assert [float(line.split("]")[0].split()[-1]) for line in said] == [min(rewards), max(rewards)]


def test_answers_that_are_not_rated_are_neither_the_best_nor_the_worst():
    answers = [("a", -1.0), ("b", None), ("c", -3.0), ("d", -2.0)]
    samples = [{"prompt": "p", "answer": a, "reward": r, "rewards": {"x": r}, "ended": True} for a, r in answers]
    assert shown(samples).split("\n") == ["  p", "    [x -1] a", "    [x -3] c"]


def test_equal_rewards_change_nothing(workshop):
    words = ("--max_steps=8", "--epochs=2", "--eval_interval=0", "--weight_decay=0.1")
    result = run(workshop, "equal", "rewards.py:same", *words)
    start = load_model(workshop.folder / "start.pth").model.state_dict()
    assert all(torch.equal(tensor, start[name]) for name, tensor in result.weights.items())
    assert {line["frac_reward_zero_std"] for line in result.metrics} == {1.0}


def test_all_answers_cut_and_masked_make_an_update_of_nothing(workshop):
    result = workshop.train("cut", *ONE, "--mask_truncated", "--max_new_tokens=1", "--reward=overlong")
    (line,) = result.metrics
    assert line["loss"] is None and line["completions/clipped_ratio"] == 1
    names = {"reward", "reward_std", "frac_reward_zero_std", "rewards/letters/mean", "rewards/letters/std"}
    names |= {f"completions/{name}_length" for name in ("mean", "min", "max")}
    assert names <= line.keys()


def test_a_step_whose_prompts_have_no_answer_is_not_rated_and_the_next_ones_are(workshop):
    path = workshop.folder / "few_answers.jsonl"
    records = [{"question": "a", "answer": "a"}, *({"question": "bc" * (i % 3 + 1)} for i in range(15))]
    path.write_text("".join(json.dumps(record) + "\n" for record in records[::-1]))
    words = ("--max_steps=8", "--val_ratio=0", "--batch_size=1", "--accumulation_steps=1")
    command = workshop.command("few", *words, "--reward=exact", data=[path])
    workshop.main(command)
    rated = ["rewards/exact/mean" in line for line in workshop.result("few").metrics]
    assert len(rated) == 8 and not all(rated)


def test_adapters_of_an_imported_network_learn_slowly(workshop):
    """At 0.00001, as in DPO, where a step has 4096 tokens; by fine-tuning they learn at 0.0002."""
    started = load_model(workshop.folder / "start.pth")
    path = workshop.folder / "imported.pth"
    save_weights(path, started.model, started.tokenizer, stage="full_sft", facts={"imported": True})
    words = ("--lora", "--max_steps=1", "--eval_interval=0", f"--from_weight={path}")
    with mock.patch("training.engine.plan.BASE_TOKENS", 1):
        (line,) = workshop.train("slow", *words).metrics
    assert line["lr"] == pytest.approx(1e-5)


def test_another_reward_of_the_same_name_is_refused(workshop):
    path = workshop.folder / "mine.py"
    path.write_text(REWARDS)
    workshop.train("mine", *ONE, f"--reward={path}:same")
    path.write_text(REWARDS.replace("1", "2"))
    code, message = workshop.fails("mine", *ONE, f"--reward={path}:same", "--resume")
    assert code == 2 and "data.rewards was computed by other files than now: those of same have changed" in message


@pytest.mark.parametrize(
    "words, said",
    [
        (("--cispo_cap=4",), "--cispo_cap means nothing to --loss_type dapo: it is for cispo"),
        (("--loss_type=cispo", "--dual_clip=3"), "--dual_clip means nothing to --loss_type cispo"),
        (("--max_turns=9",), "--max_turns is for answers with tools"),
        (("--group_size=1",), "compares an answer with no other"),
        (("--max_new_tokens=32",), "leaves no room for a prompt"),
        (("--max_new_tokens=31",), "no prompt leaves 31 tokens to its answer"),
        (("--mini_batches=17",), "a step of 16 answers has too few for 17 mini-batches: give --prompts_per_step 5"),
        (
            ("--prompts_per_step=5",),
            "--prompts_per_step 5 cannot be had with --batch_size 2 and --accumulation_steps 2: give --prompts_per_step"
            " 4, or --batch_size 1 --accumulation_steps 5",
        ),
        (("--lora", "--lora_dropout=0.1"), "drop it"),
        (("--reward=exakt",), "did you mean exact?"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence(workshop, words, said):
    code, message = workshop.fails("wrong", *ONE, *words)
    assert code in (1, 2) and message.count("\n") == 1 and said in message, message


def test_fit_keeps_the_prompts_of_a_step(workshop):
    command = workshop.command("fit", *ONE, "--fit=4", "--dry_run")
    for flag in ("--batch_size", "--accumulation_steps"):
        place = command.index(flag)
        del command[place : place + 2]
    workshop.main([*command, "--prompts_per_step=3"])
