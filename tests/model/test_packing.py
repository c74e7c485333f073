"""Packed rows: several documents side by side give what each gives alone, in both directions of time."""

import os

import pytest
import torch
import torch.nn.functional as F

from model.attention import KVCache
from model.config import TransformerConfig
from model.files.hf_export import export_folder
from model.transformer import visible
from tests.support import random_network

os.environ["HF_HUB_OFFLINE"] = "1"

CONFIGS = [
    TransformerConfig(vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=2, **changes)
    for changes in (
        {"num_attention_heads": 4, "num_key_value_heads": 2},
        {"num_attention_heads": 4, "num_key_value_heads": 4, "attention_bias": True},
        {"num_attention_heads": 4, "num_key_value_heads": 1, "qk_norm": True, "tie_word_embeddings": False},
    )
]
LENGTHS = [7, 1, 12, 4]  # a document of a single token too


def documents() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randint(0, 97, (1, length), generator=generator) for length in LENGTHS]


def packed(parts: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.cat(parts, 1), torch.cat([torch.arange(part.shape[1]) for part in parts])[None]


@pytest.fixture(scope="module", params=CONFIGS, ids=lambda config: config.model_type)
def network(request):
    return random_network(request.param)


@torch.no_grad()
def test_logits_of_a_packed_row_are_those_of_the_documents_alone(network):
    alone = torch.cat([network(document) for document in documents()], dim=1)
    torch.testing.assert_close(network(*packed(documents())), alone, rtol=0, atol=1e-5)


def test_a_packed_row_is_what_transformers_computes_with_a_mask_and_positions(network, small_tokenizer, tmp_path):
    transformers = pytest.importorskip("transformers")
    export_folder(tmp_path / "hf", network, small_tokenizer)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf", attn_implementation="eager")
    parts = documents()
    rows = [packed(parts), packed(parts[::-1])]
    tokens, positions = (torch.cat(tensors) for tensors in zip(*rows, strict=True))
    mask = torch.full((2, 1, sum(LENGTHS), sum(LENGTHS)), -torch.inf)
    for row, lengths in enumerate((LENGTHS, LENGTHS[::-1])):
        blocks = torch.block_diag(*(torch.ones(length, length) for length in lengths)).tril()
        mask[row, 0, blocks.bool()] = 0
    # Targets too: the gradients are compared, not only the logits.
    targets = tokens.roll(-1, dims=1)
    ours = network(tokens, positions)
    expected = theirs(tokens, attention_mask=mask, position_ids=positions).logits
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)
    for model, logits in ((network, ours), (theirs, expected)):
        model.zero_grad()
        F.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
    their_parameters = dict(theirs.named_parameters())
    for name, parameter in network.named_parameters():
        gradient = their_parameters[name].grad
        assert (parameter.grad - gradient).norm() < 1e-5 * gradient.norm(), name


def test_loss_and_gradients_of_a_packed_row_are_the_sums_over_the_documents(network):
    def gradients(rows):
        network.zero_grad()
        for tokens, positions, targets in rows:
            loss = F.cross_entropy(network(tokens, positions).flatten(0, 1), targets.flatten(), reduction="sum")
            loss.backward()
        return {name: parameter.grad.clone() for name, parameter in network.named_parameters()}

    parts = documents()
    targets = [part.roll(-1) for part in parts]
    apart = gradients([(part, None, target) for part, target in zip(parts, targets, strict=True)])
    together = gradients([(*packed(parts), torch.cat(targets, 1))])
    for name, gradient in together.items():
        assert (gradient - apart[name]).norm() < 1e-5 * apart[name].norm(), name


@torch.no_grad()
def test_nothing_leaks_between_documents_nor_from_the_future(network):
    tokens, positions = packed(documents())
    before = network(tokens, positions)
    ends = [sum(LENGTHS[: i + 1]) for i in range(len(LENGTHS))]
    for changed in range(tokens.shape[1]):
        other = tokens.clone()
        other[0, changed] = (other[0, changed] + 1) % 97
        different = (network(other, positions) != before).any(-1)[0]
        last = next(end for end in ends if changed < end)
        assert different[changed:last].any()
        assert not different[:changed].any() and not different[last:].any()


@torch.no_grad()
def test_rows_of_one_batch_may_be_packed_differently(network):
    parts = documents()
    orders = [parts, parts[::-1]]
    rows = [packed(order) for order in orders]
    logits = network(torch.cat([row[0] for row in rows]), torch.cat([row[1] for row in rows]))
    for row, order in zip(logits, orders, strict=True):
        alone = torch.cat([network(document) for document in order], dim=1)[0]
        torch.testing.assert_close(row, alone, rtol=0, atol=1e-5)


@torch.no_grad()
def test_one_document_with_explicit_positions_is_plain_causal_attention(network):
    tokens = torch.cat(documents(), 1)
    explicit = network(tokens, torch.arange(tokens.shape[1])[None])
    torch.testing.assert_close(explicit, network(tokens), rtol=0, atol=1e-5)


@torch.no_grad()
def test_cached_rows_of_different_lengths_continue_as_if_alone(network):
    prompts = documents()
    lengths = torch.tensor([prompt.shape[1] for prompt in prompts])
    tokens = torch.zeros(len(prompts), max(LENGTHS), dtype=torch.long)
    for row, prompt in zip(tokens, prompts):
        row[: prompt.shape[1]] = prompt
    more = torch.randint(0, 97, (len(prompts), 9), generator=torch.Generator().manual_seed(5))
    cache = KVCache(network.config, len(prompts), max(LENGTHS) + 9)
    logits = [network(tokens, cache=cache)[torch.arange(len(prompts)), lengths - 1][:, None]]
    cache.lengths.copy_(lengths)  # forgets the padding
    for chunk in more.split([1, 1, 4, 1, 2], dim=1):
        logits.append(network(chunk, cache=cache))
    logits = torch.cat(logits, 1)
    for row, prompt in enumerate(prompts):
        alone = network(torch.cat((prompt, more[row : row + 1]), 1))[0, prompt.shape[1] - 1 :]
        torch.testing.assert_close(logits[row], alone, rtol=0, atol=1e-5)


def test_what_a_token_sees_against_a_loop():
    documents_of = torch.tensor([[1, 1, 2, 2, 2, 3], [1, 2, 2, 2, 2, 2]])
    mask = visible(documents_of[:, 2:], documents_of)
    assert mask.shape == (2, 1, 4, 6)
    for row in range(2):
        for query in range(4):
            for key in range(6):
                same = documents_of[row, query + 2] == documents_of[row, key]
                assert mask[row, 0, query, key] == (same and key <= query + 2)
