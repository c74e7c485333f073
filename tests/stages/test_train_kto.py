"""train_dpo.py --loss_type kto, from labelled answers or pairs to weights."""

import json
import math
import random

import pytest
import torch

from dataset.records.conversations import from_completion
from dataset.rendering import ChatRenderer
from model.files.loading import load_model
from tests.stages.workshop import Workshop, another_reference

RUN = ("--loss_type=kto", "--epochs=4", "--eval_interval=8", "--learning_rate=0.003", "--warmup_steps=1")
DATA = ("answers.jsonl",)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Workshop:
    """With answers that repeat the question, which are good, and a third of other letters, which are bad."""
    workshop, rng = Workshop.create(tmp_path_factory.mktemp("workshop"), "dpo"), random.Random(0)
    with open(workshop.folder / DATA[0], "w") as file:
        for number in range(36):
            word, good = "".join(rng.choices("abc", k=rng.randint(1, 6))), number % 3 > 0
            answer = word if good else "".join(rng.choices("xyz", k=rng.randint(1, 6)))
            file.write(json.dumps({"prompt": word, "completion": answer, "label": good}) + "\n")
    return workshop


@pytest.fixture(scope="module")
def finished(workshop):
    return workshop.train("finished", *RUN, "--val_ratio=0.2", data=DATA)


def test_it_learns_which_answers_are_good(finished):
    first, last = finished.metrics[0], finished.metrics[-1]
    assert first["kl"] == 0 and first["rewards/chosen"] == 0
    assert last["rewards/chosen"] > 0 > last["rewards/rejected"]
    assert last["val_rewards/margins"] > 0.5 and last["val_loss"] < 0.5
    for line in finished.metrics:
        assert all(math.isfinite(value) for value in line.values()) and line["kl"] >= 0
        if "rewards/margins" in line:
            assert line["rewards/margins"] == pytest.approx(line["rewards/chosen"] - line["rewards/rejected"])
    assert "good, " in finished.said and "so that both kinds weigh alike" in finished.said


def test_a_live_reference_gives_the_numbers_of_the_precomputed_one(workshop, finished):
    live = workshop.train("live", *RUN, "--val_ratio=0.2", "--no_precompute_ref", "--max_steps=8", data=DATA)
    for a, b in zip(live.metrics[:4], finished.metrics):  # the rate comes down later
        assert a == pytest.approx(b, abs=1e-5)


def test_neither_micro_batches_nor_packing_into_them_change_the_curve(workshop):
    """The reference point is a mean over the step, whatever its micro-batches."""
    curves = [
        workshop.train(
            f"split_{n}", *RUN, "--val_ratio=0", f"--batch_size={n}", f"--accumulation_steps={4 // n}", data=DATA
        )
        for n in (4, 1)
    ]
    assert any(line["kl"] > 0.01 for line in curves[0].metrics)
    for a, b in zip(*(curve.metrics for curve in curves), strict=True):
        assert a == pytest.approx(b, abs=2e-5)


def test_pairs_are_two_answers_each(workshop):
    result = workshop.train("pairs", *RUN, "--val_ratio=0", "--max_steps=1")
    assert result.losses[0] == 0.5 and "28 good, 28 bad in an epoch; weights 1 and 1 (balanced)" in result.said


def test_the_loss_is_that_of_the_formula_with_the_constants_that_flags_give(workshop):
    """Of answers scored one by one, under a reference that differs; the reference point is that of the line."""
    words = ("--loss_type=kto", "--beta=0.7", "--desirable_weight=1.5", "--undesirable_weight=0.4", "--max_seq_len=64")
    words += ("--val_ratio=0", "--batch_size=64", "--accumulation_steps=1", "--max_steps=1", "--no_precompute_ref")
    with another_reference() as copies:
        (line,) = workshop.train("constants", *words, data=DATA).metrics
    loaded, losses, z = load_model(workshop.folder / "start.pth"), [], line["kl"]
    records = [json.loads(text) for text in (workshop.folder / DATA[0]).read_text().splitlines()]
    for record in records:
        (one,) = ChatRenderer(loaded.tokenizer).render([from_completion(record | {"label": None})])
        ids, trained, sums = torch.tensor(one.ids).long(), torch.tensor(one.trained)[1:], []
        for network in (loaded.model, copies[0]):
            with torch.no_grad():
                scores = network(ids[None, :-1])[0].log_softmax(-1).gather(1, ids[1:, None])[:, 0]
            sums.append(scores[trained].sum().item())
        sign, weight = (1, 1.5) if record["label"] else (-1, 0.4)
        losses.append(weight * (1 - 1 / (1 + math.exp(-0.7 * sign * (sums[0] - sums[1] - z)))))
    assert line["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-4)


def test_weights_that_were_asked_for_are_kept_and_judged(workshop):
    said = workshop.train("asked", *RUN, "--val_ratio=0", "--max_steps=1", "--desirable_weight=2", data=DATA).said
    assert "24 good, 12 bad in an epoch; weights 2 and 1 (as asked)" in said
    assert (
        "warning: with these weights one kind of answers outweighs the other; --desirable_weight 1"
        " --undesirable_weight 2" in said
    )


def test_what_is_not_for_kto_is_refused(workshop):
    assert "is for kto" in workshop.fails("not", "--undesirable_weight=2")[1]
    assert "means nothing to --loss_type kto" in workshop.fails("not", *RUN, "--sft_weight=1", data=DATA)[1]
    assert "for train_dpo.py --loss_type kto" in workshop.fails("not", data=DATA)[1]
