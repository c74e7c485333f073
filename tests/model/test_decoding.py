"""The decoding engine against the definition: the whole text again at every step. Rearranged networks, ended rows."""

import pytest
import torch

from model import decoding, key_columns
from model.attention import KVCache
from model.decoding import Norm, Product, rearrange, rearranged
from model.generation import Decoding, generate_batch, new_generator, new_tokens
from model.lora import Lora, add_lora
from model.retiring import retire
from model.running_batch import Row, RunningBatch
from model.sampling import GREEDY, Sampling, draw, filtered
from model.transformer import RMSNorm, Transformer
from tests.model.small_decoding import ENDS, NUCLEUS, PENALISED, PROMPTS, SMALL
from tests.support import random_network

SHAPES = [{}, {"qk_norm": True}, {"attention_bias": True}, {"num_key_value_heads": 4}, {"tie_word_embeddings": False}]


@pytest.fixture(scope="module")
def network() -> Transformer:
    return random_network(SMALL)


@torch.no_grad()
def reference(network, prompts, steps: int, how: Sampling, ends, generator) -> list[list[int]]:
    """No cache, no padding, no batch: every whole text at every step. A row that has ended still draws numbers."""
    texts, over = [list(prompt) for prompt in prompts], [False] * len(prompts)
    for _ in range(steps):
        logits = torch.cat([network(torch.tensor([text]))[:, -1] for text in texts])
        seen = torch.zeros_like(logits, dtype=torch.bool)
        for row, text in zip(seen, texts):
            row[text] = True
        if how.temperature == 0:
            penalised = torch.where(logits > 0, logits / how.repetition_penalty, logits * how.repetition_penalty)
            newest = torch.where(seen, penalised, logits).argmax(-1)
        else:
            newest = draw(filtered(logits, how, seen).softmax(-1), generator)
        for row, token in enumerate(newest.tolist()):
            if not over[row]:
                texts[row].append(token)
                over[row] = token in ends
        if all(over):
            break
    return [text[len(prompt) :] for text, prompt in zip(texts, prompts)]


PREPARED = pytest.mark.parametrize("prepared", ["as it is", "rearranged", "with keys by columns"])


def ready(network, prepared: str, monkeypatch) -> Transformer:
    if prepared == "as it is":
        return network
    monkeypatch.setattr(key_columns, "LEAST_ROWS", 1 if prepared == "with keys by columns" else 1000)
    return rearranged(network, torch.float32)


HOW = [GREEDY, Sampling(0, repetition_penalty=1.4), Sampling(), NUCLEUS, PENALISED]


@pytest.mark.parametrize("how", HOW, ids=str)
@PREPARED
def test_the_tokens_are_those_of_the_whole_text_at_every_step(network, how, prepared, monkeypatch):
    expected = reference(network, PROMPTS, 24, how, ENDS, new_generator(seed=3))
    model = ready(network, prepared, monkeypatch)
    settings = {"max_new_tokens": 24, "sampling": how, "eos_ids": ENDS, "generator": new_generator(seed=3)}
    assert generate_batch(model, PROMPTS, **settings) == expected
    assert len({len(answer) for answer in expected}) > 2  # they end at different times


@pytest.mark.parametrize("prompts", [[[7]], [[7], [9]], PROMPTS])
def test_widths_of_a_gpu_hide_what_is_empty(network, prompts, monkeypatch):
    """There attention looks at more keys than there are, from the first token of a text that has only one."""
    honest = KVCache.__init__

    def fixed(cache, *args, **settings):
        honest(cache, *args, **settings)
        cache.fixed = True

    monkeypatch.setattr(KVCache, "__init__", fixed)
    expected = reference(network, prompts, 24, GREEDY, ENDS, new_generator(seed=3))
    settings = {"max_new_tokens": 24, "sampling": GREEDY, "eos_ids": ENDS}
    assert generate_batch(network, prompts, **settings) == expected
    batch, rows = RunningBatch(network), [Row(prompt, GREEDY) for prompt in prompts]
    for row in rows:
        assert batch.read(row)
    answers = [[row.newest.id] for row in rows]
    for _ in range(8):
        batch.step()
        for answer, row in zip(answers, rows):
            answer.append(row.newest.id)
    for answer, text in zip(answers, expected):
        assert answer[: len(text)] == text[:9]


@PREPARED
def test_prompts_that_occur_several_times_are_read_once(network, prepared, monkeypatch):
    """And answered each on its own."""
    repeated, read = [PROMPTS[i] for i in (1, 0, 1, 3, 3, 1)], []
    expected = reference(network, repeated, 20, PENALISED, ENDS, new_generator(seed=5))
    model = ready(network, prepared, monkeypatch)
    features = model.features
    monkeypatch.setattr(model, "features", lambda tokens, **more: read.append(tokens.shape) or features(tokens, **more))
    settings = {"max_new_tokens": 20, "sampling": PENALISED, "eos_ids": ENDS, "generator": new_generator(seed=5)}
    assert generate_batch(model, repeated, **settings) == expected
    assert read[0] == (3, 9) and read[1] == (6, 1)
    assert len(set(map(tuple, expected))) > 3


@PREPARED
def test_a_beginning_that_all_prompts_share_is_read_once(network, prepared, monkeypatch):
    beginning, read = [(7 * i + 3) % 61 for i in range(20)], []
    prompts = [beginning + PROMPTS[i] for i in (1, 0, 1, 3, 4)]
    prompts.append(beginning)  # of which the last token is read with the others', for what follows it
    expected = reference(network, prompts, 15, PENALISED, ENDS, new_generator(seed=5))
    model = ready(network, prepared, monkeypatch)
    features = model.features
    monkeypatch.setattr(model, "features", lambda tokens, **more: read.append(tokens.shape) or features(tokens, **more))
    settings = {"max_new_tokens": 15, "sampling": PENALISED, "eos_ids": ENDS, "generator": new_generator(seed=5)}
    assert generate_batch(model, prompts, **settings) == expected
    assert read[:3] == [(1, 19), (5, 10), (6, 1)]


@pytest.mark.parametrize("how", [GREEDY, NUCLEUS], ids=str)
def test_an_answer_does_not_change_because_another_has_ended(network, how):
    settings = {"max_new_tokens": 24, "sampling": how}
    free = generate_batch(network, PROMPTS, generator=new_generator(seed=1), **settings)
    bound = generate_batch(network, PROMPTS, generator=new_generator(seed=1), eos_ids=ENDS, **settings)
    assert [long[: len(short)] for long, short in zip(free, bound)] == bound != free


def test_many_tokens_are_written_by_a_rearranged_copy(network, monkeypatch):
    calls = []
    monkeypatch.setattr(decoding, "rearranged", lambda *args: calls.append(args) or rearranged(*args))
    few = [generate_batch(network, [prompt], max_new_tokens=40, sampling=GREEDY)[0] for prompt in PROMPTS]
    assert not calls
    many = generate_batch(network, PROMPTS * 6, max_new_tokens=40, sampling=GREEDY)
    assert len(calls) == 1 and many == few * 6 and type(network.lm_head) is torch.nn.Linear


# --- rows that have ended ----------------------------------------------------------------------------


def test_a_row_that_has_ended_is_computed_no_more(network, monkeypatch):
    sizes, embed = [], torch.nn.Embedding.forward
    counted = lambda self, tokens: sizes.append(len(tokens)) or embed(self, tokens)  # noqa: E731
    monkeypatch.setattr(torch.nn.Embedding, "forward", counted)
    written = generate_batch(network, PROMPTS * 4, max_new_tokens=24, sampling=GREEDY, eos_ids=ENDS)
    going_on = [sum(len(answer) > step for answer in written) for step in range(max(map(len, written)))]
    # By eights, on a CPU; the first step reads each of the different prompts once.
    assert sizes == [len(PROMPTS), *(min(20, -(-count // 8) * 8) for count in going_on[1:])]
    assert {8, 16} <= set(sizes)


@pytest.mark.parametrize(
    "fixed, ended, rows",
    [
        (False, set(range(1, 8)), [0, *range(8, 15)]),
        (False, {0, *range(3, 10)}, [10, 1, 2, 11, 12, 13, 14, None]),
        (False, {0}, [None, *range(1, 15)]),
        (True, {1}, [0, 4, 2, 3]),
        (True, {0, 1, 2}, [3, 4]),
        (True, {1, 2}, [0, 4, None, 3]),
    ],
    ids=str,
)
def test_the_last_rows_take_the_slots_of_those_that_have_ended(network, fixed, ended, rows):
    """On a GPU (fixed) there are 1, 2, 4, ... slots, once fewer suffice than there were prompts; on a CPU 8, 16, ..."""
    prompts = PROMPTS if fixed else 3 * PROMPTS
    batch = Decoding(network, prompts, 9, GREEDY, None)
    batch.cache.fixed = fixed
    with torch.inference_mode():
        batch.next()
        lengths, keys, seen = batch.cache.lengths.clone(), batch.cache.keys.clone(), batch.seen.clone()
        assert retire(batch, ended) == len(prompts) - len(ended)
        assert batch.rows == rows and batch.cache.rows == len(rows)
        for slot, row in enumerate(rows):
            if row is None:
                continue
            length = int(lengths[row])
            assert batch.order[slot] == row and batch.cache.lengths[slot] == length
            assert torch.equal(batch.cache.keys[:, slot, :, :length], keys[:, row, :, :length])
            assert torch.equal(batch.seen[slot], seen[row])  # for the repetition penalty


# --- a rearranged network ----------------------------------------------------------------------------


def chunks(network, tokens) -> torch.Tensor:
    """Logits of tokens that come in pieces, with a cache."""
    cache = getattr(network, "Cache", KVCache)(network.config, len(tokens), tokens.shape[1])
    with torch.no_grad():
        return torch.cat([network(part, cache=cache) for part in tokens.split([7, 1, 1, 5, 1], dim=1)], dim=1)


@pytest.mark.parametrize("kept", ["packed", "packed and plain", "plain"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_rearranged_network_computes_the_same(shape, kept, monkeypatch):
    if kept == "plain":
        monkeypatch.setattr(decoding, "_packs", lambda weight: False)
    monkeypatch.setattr(decoding, "_mkl_is_faster", lambda weight: kept == "packed and plain")
    monkeypatch.setattr(key_columns, "LEAST_ROWS", 3)
    network = random_network(SMALL.replace(**shape))
    tokens = torch.randint(0, 61, (3, 15), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network(tokens)
    copy = rearranged(network, torch.float32)
    assert rearranged(copy, torch.float32) is copy and copy.model.embed_tokens is network.model.embed_tokens
    for rows in (1, 2, 3):
        torch.testing.assert_close(chunks(copy, tokens[:rows]), expected[:rows], rtol=0, atol=1e-5)
    rearrange(network, torch.float32)
    torch.testing.assert_close(network(tokens).detach(), expected, rtol=0, atol=1e-5)


def test_adapters_are_part_of_the_products():
    network = random_network(SMALL)
    add_lora(network, Lora(rank=2, alpha=4.0))
    for name, parameter in network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    tokens = torch.randint(0, 61, (2, 15), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(chunks(rearranged(network, torch.float32), tokens), network(tokens))


def test_under_autocast_a_copy_rounds_as_the_network_does(network):
    tokens = torch.randint(0, 61, (2, 15), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        exact, copy = network(tokens), rearranged(network, torch.bfloat16)
        with torch.autocast("cpu", torch.bfloat16):
            theirs, ours = network(tokens), copy(tokens)
    assert ours.dtype == theirs.dtype == torch.bfloat16
    assert (ours - exact).norm() < 1.2 * (theirs - exact).norm() < 0.05 * exact.norm()


def test_many_rows_of_a_rearranged_network_have_their_keys_by_columns(network):
    copy = rearranged(network, torch.float32)
    for rows, by_columns in ((15, False), (16, True)):
        cache = Decoding(copy, [[1]] * rows, 2, GREEDY, None).cache
        assert cache.by_columns is by_columns and (cache.keys.stride(-2) == 1) is by_columns


def test_a_product_takes_any_number_of_rows():
    layers = [torch.nn.Linear(12, 5), torch.nn.Linear(12, 3)]
    product = Product(layers, torch.float32)
    with torch.no_grad():
        for shape in [(1, 12), (3, 12), (4, 12), (1, 1, 12), (2, 1, 12), (1, 3, 12), (5, 2, 12)]:
            x = torch.randn(shape)
            torch.testing.assert_close(product(x), torch.cat([layer(x) for layer in layers], dim=-1))


@pytest.mark.parametrize("described", ["vendor_id\t: GenuineIntel\n", "vendor_id\t: AuthenticAMD\n", None])
@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="this build of torch has no MKL")
def test_on_an_intel_cpu_few_rows_are_multiplied_by_mkl(described, tmp_path, monkeypatch):
    file, intel = tmp_path / "cpuinfo", described != "vendor_id\t: AuthenticAMD\n"
    if described:
        file.write_text(described)
    monkeypatch.setattr(decoding, "CPU_INFO", file)
    monkeypatch.setattr(decoding.platform, "processor", lambda: "Intel64 Family 6 Model 142 Stepping 12, GenuineIntel")
    monkeypatch.setattr(decoding, "_is_intel_cpu", decoding._is_intel_cpu.__wrapped__)
    monkeypatch.setattr(decoding, "MOST_KEPT_TWICE", 8 * 12)
    layers = [torch.nn.Linear(12, 5), torch.nn.Linear(12, 3)]
    product, larger = Product(layers, torch.float32), Product([*layers, layers[0]], torch.float32)
    assert (product.unpacked is not None) is intel
    assert larger.unpacked is None and Product(layers, torch.bfloat16).unpacked is None
    with monkeypatch.context() as without_mkl:
        without_mkl.setattr(torch.backends.mkl, "is_available", lambda: False)
        assert Product(layers, torch.float32).unpacked is None
    if intel:
        monkeypatch.setattr(Product, "_packed", lambda self, x: pytest.fail("oneDNN multiplies"))
    with torch.no_grad():
        for rows in (1, 2, 3):
            x = torch.randn(rows, 1, 12)
            torch.testing.assert_close(product(x), torch.cat([layer(x) for layer in layers], dim=-1))
    if intel:
        with pytest.raises(pytest.fail.Exception, match="oneDNN multiplies"):
            product(torch.randn(4, 1, 12))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_norm_follows_its_formula_where_eps_matters_too(dtype):
    norm = RMSNorm(12, eps=1e-5).to(dtype)
    torch.nn.init.normal_(norm.weight)
    x = (torch.randn(5, 1, 12) * torch.tensor([0, 1e-4, 3e-3, 1, 1e4]).view(5, 1, 1)).to(dtype)
    exact = x.double() / (x.double().square().mean(-1, keepdim=True) + 1e-5).sqrt() * norm.weight.double()
    precision = {torch.float32: 1e-6, torch.bfloat16: 1e-2}[dtype]
    torch.testing.assert_close(Norm(norm)(x).double(), exact, rtol=precision, atol=0)


def test_new_tokens_without_prompts_or_steps(network):
    assert list(new_tokens(network, [], 5)) == list(new_tokens(network, [[1]], 0)) == []
