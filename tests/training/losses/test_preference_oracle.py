"""Preference losses, their gradients and what is logged of them against trl: the same networks, the same pairs."""

from types import SimpleNamespace

import pytest
import torch

from dataset.records.preferences import from_pair
from dataset.rendering import ChatRenderer
from dataset.rows.packed import RecordBatch
from model.config import TransformerConfig
from model.files.hf_export import export_folder
from model.likelihood import IGNORE
from tests.stages.workshop import SHAPE
from tests.support import make_tokenizer, random_network
from training.losses.preference import LOSSES, Completions, Settings
from training.stages.preferences import compare, measures

trl = pytest.importorskip("trl", reason="trl, the peer, is not installed")

RECORDS = [
    {"prompt": "Which colour is snow?", "chosen": "White.", "rejected": "I do not care, look it up."},
    {"prompt": "abc", "chosen": "a longer answer than the other", "rejected": "no"},
    {"prompt": "新芽", "chosen": "芽", "rejected": "草草草"},
]
SETTINGS = Settings(beta=0.3, label_smoothing=0.1, gamma=0.7, odds_weight=0.4)
SHARED = ("sigmoid", "sigmoid_norm", "hinge", "ipo", "robust", "apo_zero")  # with DPOTrainer


@pytest.fixture(scope="module")
def networks():
    """A policy and another network as its reference."""
    config = TransformerConfig(vocab_size=make_tokenizer().vocab_size, max_position_embeddings=128, **SHAPE)
    return random_network(config, seed=0), random_network(config, seed=1)


@pytest.fixture(scope="module")
def conversations():
    """(ids, trained) of the chosen conversations, then of the rejected ones."""
    every = [from_pair(record).conversations for record in RECORDS]
    return ChatRenderer(make_tokenizer()).render([pair[side] for side in (0, 1) for pair in every])


@pytest.fixture(scope="module")
def batch(conversations) -> RecordBatch:
    """All conversations behind one another in one row, as ours stand."""
    tokens = torch.cat([torch.tensor(one.ids[:-1]).long() for one in conversations])[None]
    wanted = [
        torch.tensor(one.ids[1:]).long().masked_fill(~torch.tensor(one.trained[1:]), IGNORE) for one in conversations
    ]
    lengths = torch.tensor([len(one.ids) - 1 for one in conversations])
    positions = torch.cat([torch.arange(n) for n in lengths])[None]
    sequences = torch.repeat_interleave(torch.arange(len(lengths)), lengths)[None]
    targets, count = torch.cat(wanted)[None], len(RECORDS)
    return RecordBatch(
        *(tokens, targets, positions, int((targets != IGNORE).sum())),
        sequences=sequences,
        ends=torch.cumsum(lengths, 0) - 1,
        labels=torch.zeros(count),
        reference=None,
        numbers=torch.arange(count).numpy(),
        records=count,
    )


@pytest.fixture(scope="module")
def theirs(networks, conversations, tmp_path_factory):
    """trl's trainer of the same networks, and the same pairs as it takes them: a row each, padded."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, tokenizer = tmp_path_factory.mktemp("hf"), make_tokenizer()
    for name, network in zip(("policy", "reference"), networks):
        export_folder(folder / name, network, tokenizer)
    policy, reference = (
        AutoModelForCausalLM.from_pretrained(folder / name, dtype="float32", attn_implementation="eager")
        for name in ("policy", "reference")
    )
    trainer = trl.DPOTrainer(
        policy,
        reference,
        args=trl.DPOConfig(
            output_dir=str(folder / "out"),
            beta=SETTINGS.beta,
            label_smoothing=SETTINGS.label_smoothing,
            use_cpu=True,
            bf16=False,
            report_to=[],
        ),
        train_dataset=Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}]),  # it must have some
        processing_class=AutoTokenizer.from_pretrained(folder / "policy"),
    )

    def padded(arrays):
        return torch.nn.utils.rnn.pad_sequence([torch.tensor(array).long() for array in arrays], batch_first=True)

    rows = {
        "input_ids": padded([one.ids for one in conversations]),
        "attention_mask": padded([[1] * len(one.ids) for one in conversations]),
        "completion_mask": padded([one.trained for one in conversations]),
    }
    return trainer, rows


@pytest.mark.parametrize("name", SHARED)
def test_loss_and_gradient_are_those_of_its_trainer(networks, batch, theirs, name):
    (policy, reference), (trainer, rows) = networks, theirs
    trainer.loss_types = [name]
    trainer.model.zero_grad()
    expected = trainer._compute_loss(trainer.model, rows, return_outputs=False)
    expected.backward()
    policy.zero_grad()
    pair, _ = compare(policy, batch, reference)
    found = LOSSES[name](pair, SETTINGS).mean()
    found.backward()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    gradients = {key: p.grad for key, p in trainer.model.named_parameters()}
    for key, parameter in policy.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[key], atol=1e-5, rtol=1e-5, msg=key)


def test_what_is_logged_is_what_it_logs(networks, batch, theirs):
    (policy, reference), (trainer, rows) = networks, theirs
    trainer.model.eval()  # it has no dropout
    trainer._compute_loss(trainer.model, rows, return_outputs=False)
    expected = trainer._metrics["eval"]
    pair, entropy = compare(policy, batch, reference)
    found = {key: value / len(RECORDS) for key, value in measures(pair, SETTINGS.beta).items()}
    for key, value in {**found, "entropy": entropy / batch.trained}.items():
        assert value.item() == pytest.approx(expected[key][-1], rel=1e-5), key


@pytest.fixture
def pair() -> Completions:
    torch.manual_seed(0)
    lengths = torch.randint(2, 9, (2, 5)).double()
    return Completions(*(-lengths * (0.1 + torch.rand(2, 5))), *lengths, *(-lengths * (0.1 + torch.rand(2, 5))))


def stub(**values) -> SimpleNamespace:
    """What trl's functions look up in their trainer."""
    return SimpleNamespace(accelerator=SimpleNamespace(device="cpu"), beta=SETTINGS.beta, alpha=0.0, **values)


@pytest.mark.filterwarnings("ignore")  # that these are experimental
def test_losses_that_it_has_elsewhere(pair):
    """cdpo is the loss of its CPO, given log-ratios; ours of orpo has fine-tuning in it, which it adds outside."""
    from trl.experimental.cpo import CPOTrainer
    from trl.experimental.orpo import ORPOTrainer

    means = pair.chosen / pair.chosen_tokens, pair.rejected / pair.rejected_tokens
    simpo = stub(loss_type="simpo", simpo_gamma=SETTINGS.gamma, label_smoothing=0.0)
    expected = CPOTrainer.cpo_loss(simpo, *means)[0]
    torch.testing.assert_close(LOSSES["simpo"](pair, SETTINGS), expected, atol=1e-5, rtol=1e-5)

    cdpo = stub(loss_type="sigmoid", label_smoothing=SETTINGS.label_smoothing)
    expected = CPOTrainer.cpo_loss(cdpo, pair.chosen_ratio, pair.rejected_ratio)[0]
    torch.testing.assert_close(LOSSES["cdpo"](pair, SETTINGS), expected, atol=1e-5, rtol=1e-5)

    odds = -ORPOTrainer.odds_ratio_loss(stub(), *means)[0].double() / SETTINGS.beta
    expected = -means[0] + SETTINGS.odds_weight * odds
    torch.testing.assert_close(LOSSES["orpo"](pair, SETTINGS), expected, atol=1e-5, rtol=1e-5)


def test_every_loss_is_compared():
    assert {*SHARED, "simpo", "cdpo", "orpo"} == set(LOSSES)
