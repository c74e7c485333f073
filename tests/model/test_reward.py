"""The reward model computes what transformers' does, opens strictly, and is not taken for a language model."""

import json

import pytest
import torch
import transformers

from inference.scoring import score_ids
from model.config import TransformerConfig
from model.errors import SproutError
from model.files.adapters import open_lora, save_lora
from model.files.checkpoint import save_checkpoint, save_weights
from model.files.hf_config import hf_config
from model.files.hf_export import export_folder
from model.files.loading import load_model
from model.files.reading import read_checkpoint
from model.files.reward import load_reward, load_reward_adapters
from model.fingerprint import fingerprint
from model.lora import Lora, add_lora, merge_lora
from model.reward import RewardModel, rewards
from model.text.exported import padding_apart_from
from model.text.tokenizer import IM_END, Tokenizer
from model.whole import SCORE, plain_state_dict
from scripts.export_hf import main
from tests.support import make_tokenizer, random_network

TOKENIZER = make_tokenizer()
KINDS = {"llama": {}, "qwen2": {"attention_bias": True}, "qwen3": {"qk_norm": True}}


def config(**changes) -> TransformerConfig:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    more = {"num_key_value_heads": 1, "max_position_embeddings": 64, "vocab_size": TOKENIZER.vocab_size}
    return TransformerConfig(**sizes, **more, **changes)


def random_reward(**changes) -> RewardModel:
    model = RewardModel.of(random_network(config(**changes)))
    with torch.no_grad():
        model.score.weight.normal_(generator=torch.Generator().manual_seed(1))
    return model


def save(tmp_path, model, stage="reward"):
    save_weights(tmp_path / f"{stage}_32.pth", model, TOKENIZER, stage=stage)
    return tmp_path / f"{stage}_32.pth"


def test_every_reward_begins_at_zero_whatever_the_network():
    model = RewardModel.of(random_network(config()))
    assert model(torch.randint(9, 200, (2, 7))).tolist() == [[0.0] * 7] * 2
    new = RewardModel(config())
    assert not new.score.weight.any() and new.model.embed_tokens.weight.any()


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_sequence_classification_of_transformers(kind):
    """The same names, and the same numbers at the last token of conversations padded on the right."""
    model = random_reward(**KINDS[kind])
    name = {"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3"}[kind]
    values = hf_config(model.config, TOKENIZER, torch.float32) | {"num_labels": 1, "architectures": None}
    theirs = getattr(transformers, f"{name}ForSequenceClassification")(
        getattr(transformers, f"{name}Config")(**values)
    ).eval()
    state = plain_state_dict(model)
    assert state.keys() == theirs.state_dict().keys() and state[SCORE].shape == (1, 32)
    theirs.load_state_dict(state)
    tokens, lengths = torch.randint(9, 200, (3, 9)), torch.tensor([9, 4, 7])
    seen = torch.arange(9) < lengths[:, None]
    tokens[~seen] = TOKENIZER.pad_id
    with torch.no_grad():
        expected = theirs(tokens, attention_mask=seen.long()).logits[:, 0]
        found = rewards(model, tokens, None, torch.arange(3) * 9 + lengths - 1)
        everywhere = model(tokens)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(everywhere[torch.arange(3), lengths - 1], found, atol=1e-6, rtol=1e-6)


def test_conversations_of_a_row_do_not_see_each_other():
    model = random_reward()
    first, second = torch.randint(9, 200, (5,)), torch.randint(9, 200, (3,))
    row = torch.cat([first, second, torch.zeros(2).long()])[None]
    positions = torch.tensor([[0, 1, 2, 3, 4, 0, 1, 2, 0, 0]])
    with torch.no_grad():
        together = rewards(model, row, positions, torch.tensor([4, 7]))
        alone = torch.stack([model(first[None])[0, -1], model(second[None])[0, -1]])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_autocast_keeps_the_digits_of_the_head():
    model = random_reward()
    features = torch.randn(4, 32)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model.head(features), model.head(features)) and model.head(features).dtype == torch.float32
        found = model.head(features)
    assert torch.equal(found, model.head(features))


@pytest.mark.parametrize("tied", [True, False])
def test_it_opens_as_it_was_saved(tmp_path, tied):
    model = random_reward(tie_word_embeddings=tied)
    loaded = load_reward(save(tmp_path, model))
    assert loaded.stage == "reward" and loaded.tokenizer.fingerprint == TOKENIZER.fingerprint
    assert "lm_head.weight" not in loaded.model.state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor), name


@pytest.mark.parametrize("name", [SCORE, "model.norm.weight"])
@pytest.mark.parametrize("change", ["missing", "misshapen", "extra"])
def test_it_opens_strictly(tmp_path, name, change):
    path = save(tmp_path, random_reward())
    contents = read_checkpoint(path)
    if change == "missing":
        del contents["model"][name]
    elif change == "misshapen":
        contents["model"][name] = torch.zeros(2, 5)
    else:
        contents["model"]["lm_head.weight"] = contents["model"]["model.embed_tokens.weight"] + 1
    save_checkpoint(path, contents)
    with pytest.raises(SproutError) as error:
        load_reward(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_neither_is_taken_for_the_other(tmp_path):
    with pytest.raises(SproutError, match="is a reward model, which scores answers and writes none"):
        load_model(save(tmp_path, random_reward()))
    with pytest.raises(SproutError, match=r"\(full_sft\) is a language model, not a reward model: train one"):
        load_reward(save(tmp_path, random_network(config()), "full_sft"))
    with pytest.raises(SproutError, match="is a folder, not a reward model"):
        load_reward(tmp_path)
    torch.save(random_network(config()).state_dict(), tmp_path / "bare.pth")
    with pytest.raises(SproutError, match="without their configuration, not a reward model"):
        load_reward(tmp_path / "bare.pth")


def adapted(network) -> RewardModel:
    """A reward model with adapters on it that matter."""
    add_lora(network, Lora(2, 4.0, base=fingerprint(network), base_path="full_sft_32.pth"))
    model, generator = RewardModel.of(network), torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name or name == SCORE:
                parameter.normal_(generator=generator)
    return model


@pytest.mark.parametrize("tied", [True, False])
def test_adapters_and_their_head_open_on_their_network(tmp_path, tied):
    network = random_network(config(tie_word_embeddings=tied))
    path = save(tmp_path, network, "full_sft")
    model = adapted(network)
    learns = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert SCORE in learns and all("lora" in name or name == SCORE for name in learns)
    save_lora(tmp_path / "reward.pth", model, stage="reward")
    adapters = open_lora(tmp_path / "reward.pth")
    assert sorted(adapters.weights) == sorted(learns)
    loaded = load_reward_adapters(adapters, path)
    tokens = torch.randint(9, 200, (2, 8))
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(tokens), model.eval()(tokens), atol=1e-4, rtol=1e-5)
        merge_lora(model)
        assert not any("lora" in name for name in model.state_dict())
    other = save(tmp_path, random_network(config(tie_word_embeddings=tied), seed=5), "dpo")
    with pytest.raises(SproutError, match="was trained on another network"):
        load_reward_adapters(adapters, other)
    with pytest.raises(SproutError, match="holds the adapters of a reward model"):
        adapters.attach(load_model(path).model)


def test_adapters_without_a_head_are_no_reward_model(tmp_path):
    network = random_network(config())
    path = save(tmp_path, network, "full_sft")
    add_lora(network, Lora(2, 4.0, base=fingerprint(network)))
    save_lora(tmp_path / "medic.pth", network, stage="lora")
    with pytest.raises(SproutError, match="without a scalar head, not a reward model"):
        load_reward_adapters(open_lora(tmp_path / "medic.pth"), path)


@pytest.mark.parametrize("head", [torch.zeros(1, 5), "score", torch.zeros(1, 32).long()])
def test_a_head_that_does_not_fit_is_named(tmp_path, head):
    network = random_network(config())
    path = save(tmp_path, network, "full_sft")
    save_lora(tmp_path / "reward.pth", adapted(network), stage="reward")
    contents = read_checkpoint(tmp_path / "reward.pth")
    contents["adapters"][SCORE] = head
    save_checkpoint(tmp_path / "reward.pth", contents)
    with pytest.raises(SproutError, match=r"score.weight is not a tensor of shape \[1, 32\]"):
        load_reward_adapters(open_lora(tmp_path / "reward.pth"), path)


@pytest.mark.parametrize("kind", KINDS)
def test_it_travels_as_a_sequence_classification(tmp_path, capsys, kind):
    model = random_reward(tie_word_embeddings=kind != "qwen2", **KINDS[kind]).eval()
    main(["--weight_path", str(save(tmp_path, model)), "--save_dir", str(tmp_path / "hf")])
    assert "AutoModelForSequenceClassification.from_pretrained" in capsys.readouterr().out
    theirs, loading = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "hf", output_loading_info=True
    )
    assert not any(loading[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    tokens = torch.randint(3, TOKENIZER.vocab_size, (2, 12))
    with torch.no_grad():
        torch.testing.assert_close(theirs(tokens).logits[:, 0], model(tokens)[:, -1], rtol=0, atol=1e-5)
        tokens[0, 8:] = TOKENIZER.pad_id  # there the last token before the padding counts
        torch.testing.assert_close(theirs(tokens).logits[0, 0], model(tokens)[0, 7], rtol=0, atol=1e-5)
    export_folder(tmp_path / "hf", model, TOKENIZER, facts={"mean": 1.5})
    loaded = load_reward(tmp_path / "hf")
    again = loaded.model
    assert loaded.facts == {"mean": 1.5}  # by which scores are normalised
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())
    with pytest.raises(SproutError, match="is a reward model"):
        load_model(tmp_path / "hf")
    export_folder(tmp_path / "lm", random_network(config()), TOKENIZER)
    with pytest.raises(SproutError, match="is a language model"):
        load_reward(tmp_path / "lm")


@pytest.mark.parametrize("declares", ["tokenizer_config.json", "special_tokens_map.json"])
def test_it_is_read_at_the_end_of_an_answer_that_also_pads(tmp_path, declares):
    """As in SmolLM2-Instruct. transformers takes the last token that is no padding."""
    files = TOKENIZER.files | {
        declares: json.dumps(json.loads(TOKENIZER.files.get(declares, "{}")) | {"pad_token": IM_END})
    }
    tokenizer = Tokenizer.from_files(files)
    assert tokenizer.pad_id == tokenizer.eos_id == tokenizer.vocab[IM_END]
    model = random_reward().eval()
    save_weights(tmp_path / "reward_32.pth", model, tokenizer, stage="reward")
    main(["--weight_path", str(tmp_path / "reward_32.pth"), "--save_dir", str(tmp_path / "hf")])
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "hf")
    their_tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    texts = ["ab<|im_end|>", "abcab cab<|im_end|>"]
    batch = their_tokenizer(texts, return_tensors="pt", padding=True, padding_side="right")
    rows = [their_tokenizer(text)["input_ids"] for text in texts]
    with torch.no_grad():
        found = theirs(**batch).logits[:, 0]
        expected = [model(torch.tensor([row]))[0, -1] for row in rows]
    assert all(row[-1] == tokenizer.eos_id for row in rows) and len(rows[0]) < len(rows[1])
    torch.testing.assert_close(found, torch.stack(expected), rtol=0, atol=1e-5)


def test_one_of_another_program_is_read_where_that_reads_it(tmp_path, capsys):
    """trl pads by the end of text where a tokenizer names no padding, so that no reward was learned at an end."""
    export_folder(tmp_path / "theirs", random_reward(), TOKENIZER)
    end = TOKENIZER.eos_id
    for name, entry in (("tokenizer_config.json", {"pad_token": IM_END}), ("config.json", {"pad_token_id": end})):
        path = tmp_path / "theirs" / name
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | entry), encoding="utf-8")
    main(["--weight_path", str(tmp_path / "theirs"), "--save_dir", str(tmp_path / "again")])
    rows = [[5, 6, 7, end], [5, 6, 7, 8, 9], [end]]
    for folder in (tmp_path / "theirs", tmp_path / "again"):
        loaded = load_reward(folder)
        theirs = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
        found = score_ids(loaded.model, rows, loaded.tokenizer.pad_id, max_seq_len=16, batch_size=3)
        with torch.no_grad():
            expected = [theirs(torch.tensor([row])).logits.item() for row in rows[:2]]
        assert found[:2] == pytest.approx(expected, abs=1e-5) and found[2] is not None


def test_with_one_control_token_no_folder_can_tell_padding_from_an_end():
    class Alone:
        pad_id, bos_id, special_ids = 2, 2, frozenset({2})

    with pytest.raises(SproutError, match="has one control token, which ends an answer and pads"):
        padding_apart_from(2, Alone)
