"""The loss of labelled answers, its gradient and what is logged of it, against trl on the same networks and answers."""

import json
from dataclasses import replace

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from dataset.cache.token_cache import build_or_open
from dataset.rows.answers import ANSWERS
from dataset.rows.rows import Rows
from model.config import TransformerConfig
from model.device import choose_device
from model.files.hf_export import export_folder
from model.likelihood import IGNORE
from tests.stages.workshop import SHAPE
from tests.support import make_tokenizer, random_network
from training.losses.kto import kto
from training.stages import unpaired

trl = pytest.importorskip("trl", reason="trl, the peer, is not installed")

BETA, WEIGHTS = 0.3, (1.5, 0.7)
RECORDS = [("Which colour is snow?", "White.", True), ("abc", "a longer answer", False), ("新芽", "芽", True)]


class Here:
    """What `unpaired` uses of a machine."""

    device, poll = torch.device("cpu"), staticmethod(lambda: None)
    inference = staticmethod(choose_device("cpu", "float32").autocast)


@pytest.fixture(scope="module")
def networks():
    """A policy and its reference, which is near it, so that the reference point is above zero."""
    config = TransformerConfig(vocab_size=make_tokenizer().vocab_size, max_position_embeddings=128, **SHAPE)
    policy, reference = random_network(config, seed=0), random_network(config, seed=0)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return policy, reference


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    folder = tmp_path_factory.mktemp("answers")
    records = [{"prompt": p, "completion": c, "label": label} for p, c, label in RECORDS]
    (folder / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    cache = build_or_open(folder / "a.jsonl", make_tokenizer(), ANSWERS.cache, val_ratio=0, cache_dir=folder)
    (row,) = [Rows(ANSWERS, [(cache, None)], 128, seed=0).batch(0, [0])]
    assert row.records == len(RECORDS)
    return row


@pytest.fixture(scope="module")
def trainer(networks, tmp_path_factory):
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path_factory.mktemp("hf")
    for name, network in zip(("policy", "reference"), networks):
        export_folder(folder / name, network, make_tokenizer())
    policy, reference = (
        AutoModelForCausalLM.from_pretrained(folder / name, dtype="float32", attn_implementation="eager")
        for name in ("policy", "reference")
    )
    return trl.KTOTrainer(
        policy,
        reference,
        args=trl.KTOConfig(
            output_dir=str(folder / "out"),
            beta=BETA,
            desirable_weight=WEIGHTS[0],
            undesirable_weight=WEIGHTS[1],
            use_cpu=True,
            bf16=False,
            report_to=[],
        ),
        train_dataset=Dataset.from_list(2 * [{"prompt": "a", "completion": "b", "label": True}]),  # it must have some
        processing_class=AutoTokenizer.from_pretrained(folder / "policy"),
    )


def as_theirs(batch) -> dict:
    """The batch as it takes one: a row for each answer, padded, and another one with the answer of another prompt."""
    found = {"label": batch.labels.bool()}
    for prefix, rows in (("", batch), ("KL_", batch.mixed)):
        ids, masks = [], []
        for number in range(batch.records):
            last = int(((rows.sequences[0] == number) & (rows.targets[0] != IGNORE)).nonzero()[-1])
            here = slice(last - int(rows.positions[0, last]), last + 1)
            targets = rows.targets[0, here]
            ids.append(torch.cat([rows.tokens[0, here], targets[-1:]]))
            masks.append(torch.cat([torch.zeros(1), targets != IGNORE]).long())
        columns = {"input_ids": ids, "attention_mask": [torch.ones_like(one) for one in ids], "completion_mask": masks}
        found |= {prefix + name: pad_sequence(column, batch_first=True) for name, column in columns.items()}
    return found


def test_loss_gradient_and_measures_are_those_of_its_trainer(networks, batch, trainer):
    policy, reference = networks
    trainer.model.eval().zero_grad()  # it has no dropout
    expected = trainer._compute_loss(trainer.model, as_theirs(batch), return_outputs=False)
    expected.backward()

    point = unpaired.point_of(policy, [batch], Here, reference)
    assert point.item() > 0.01
    answers, entropy = unpaired.compare(policy, batch, reference)
    answers = replace(answers, point=point)
    policy.zero_grad()
    found = kto(answers, BETA, *WEIGHTS).mean()
    found.backward()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    gradients = {key: p.grad for key, p in trainer.model.named_parameters()}
    for key, parameter in policy.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[key], atol=1e-5, rtol=1e-5, msg=key)

    class Step:
        def __init__(self):
            self.metrics = {}

        def measure(self, count, **sums):
            self.record(**{name: float(value / count) for name, value in sums.items()})

        def record(self, **values):
            self.metrics.update(values)

    step = Step()
    unpaired.note(step, batch, answers, entropy, BETA)
    unpaired.record_margin(step)
    logged = trainer._metrics["eval"]
    assert "rewards/margins" in step.metrics
    for key, value in step.metrics.items():
        assert value == pytest.approx(logged[key][-1], rel=1e-4), key
    assert {"kl", "rewards/margins", "rewards/chosen", "rewards/rejected", "logps/chosen", "entropy"} <= logged.keys()
