"""train_distill.py: which teachers it takes, when their cache holds, and what it refuses."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

from dataset.cache import examples
from model.files.checkpoint import save_weights
from model.files.hf_export import export_folder
from model.files.loading import load_model
from model.text.tokenizer import Tokenizer
from tests.stages.table import SHAPE, SIZE
from tests.stages.workshop import Workshop, same
from tests.support import make_tokenizer, random_network
from tests.training.support import SMALL
from training.stages.teacher import Teacher


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Workshop:
    return Workshop.create(tmp_path_factory.mktemp("workshop"), "distill")


# --- its cache --------------------------------------------------------------------------------------


def test_what_the_teacher_said_is_found_again_and_made_anew_when_damaged(workshop):
    words = ("--max_steps=2", "--teacher_top_k=4")
    expected = workshop.train("cached", *words)
    cache = expected.folder / "cache" / "teacher"
    (folder,) = (path for path in cache.iterdir() if path.is_dir())
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert {"ids.bin", "logs.bin", "offsets.bin", "meta.json"} <= before.keys()
    assert workshop.train("cached", *words).losses == expected.losses
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before

    content = bytearray((folder / "logs.bin").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "logs.bin").write_bytes(content)
    assert workshop.train("cached", *words).losses == expected.losses
    assert (folder / "logs.bin").stat().st_mtime_ns != before["logs.bin"]

    for other in (("--temperature=2",), ("--teacher_top_k=5",), ("--max_seq_len=40",)):
        workshop.train("cached", *words, *other)
    assert sum(path.is_dir() for path in cache.iterdir()) == 4


def test_data_that_are_tokenised_anew_to_the_same_tokens_leave_the_run_the_same(workshop, monkeypatch):
    words = ("--max_steps=2", "--teacher_top_k=3")
    before = workshop.train("anew", *words)
    monkeypatch.setattr(examples, "READING", examples.READING + 1)  # as a newer version of Sprout
    code, message = workshop.fails("anew", *words, "--temperature=2", "--resume")
    assert code == 2 and "data.teacher was" in message and "data.training" not in message
    again = workshop.train("anew", *words, "--resume")
    assert "at step 2 of 2" in again.said and same(again.weights, before.weights)


def test_the_cache_of_a_teacher_is_not_that_of_another(workshop):
    network = load_model(workshop.folder / "teacher.pth")
    save_weights(workshop.folder / "same.pth", network.model, network.tokenizer, stage="full_sft")
    other = random_network(network.model.config, seed=5)
    save_weights(workshop.folder / "other.pth", other, network.tokenizer, stage="full_sft")
    folders = []
    for name in ("teacher.pth", "same.pth", "other.pth"):
        words = ("--max_steps=1", "--teacher_top_k=4", f"--teacher_weight={workshop.folder / name}")
        workshop.train("of_teacher", *words)
        folders.append(sum(path.is_dir() for path in (workshop.folder / "of_teacher/cache/teacher").iterdir()))
    assert folders == [1, 1, 2]


# --- where it begins --------------------------------------------------------------------------------


@pytest.mark.parametrize("config_type", [LlamaConfig, Qwen2Config, Qwen3Config])
def test_folders_that_transformers_saved_are_teacher_and_student(workshop, config_type):
    """The teacher's embedding has rows that no token has, as imported ones may."""
    tokenizer, folders = Tokenizer.load(workshop.folder / "tokenizer"), {}
    for seed, (role, rows) in enumerate({"student": 0, "teacher": 8}.items()):
        folder = folders[role] = workshop.folder / f"{config_type.model_type}_{role}"
        torch.manual_seed(seed)
        size = tokenizer.vocab_size + rows
        config = config_type(vocab_size=size, max_position_embeddings=64, head_dim=16, **SHAPE)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        tokenizer.save(folder)
    out = f"from_{config_type.model_type}"
    words = (f"--from_weight={folders['student']}", f"--teacher_weight={folders['teacher']}")
    workshop.train(out, "--max_steps=3", *words)
    loaded = load_model(workshop.result(out).weight_file)
    export_folder(workshop.folder / "again", loaded.model, loaded.tokenizer)
    again = AutoModelForCausalLM.from_pretrained(workshop.folder / "again")
    assert again.config.model_type == config_type.model_type
    tokens = torch.arange(3, 19)[None]
    torch.testing.assert_close(again(tokens).logits, loaded.model(tokens), atol=1e-5, rtol=1e-5)


def test_a_teacher_is_looked_for_by_its_name_in_the_output_folder(workshop):
    folder = workshop.folder / "named"
    folder.mkdir()
    (folder / f"full_sft_{SIZE}.pth").write_bytes((workshop.folder / "teacher.pth").read_bytes())
    said = workshop.train("named", "--max_steps=1", "--teacher_weight=full_sft").said
    assert f"learns from {folder / f'full_sft_{SIZE}.pth'}" in said


def test_a_teacher_may_end_its_texts_otherwise(workshop):
    """As an instruct model does, and not the base that learns from it: their ids are the same."""
    loaded = load_model(workshop.folder / "teacher.pth")
    config = json.dumps(loaded.tokenizer.config | {"bos_token": None, "eos_token": "<|endoftext|>"})
    tokenizer = Tokenizer.from_files(loaded.tokenizer.files | {"tokenizer_config.json": config})
    assert tokenizer.fingerprint != loaded.tokenizer.fingerprint
    save_weights(workshop.folder / "instruct.pth", loaded.model, tokenizer, stage="full_sft")
    words = "--max_steps=1", "--alpha=0"
    taught = workshop.train("instruct", *words, f"--teacher_weight={workshop.folder / 'instruct.pth'}")
    assert same(taught.weights, workshop.train("teacher", *words).weights)


@pytest.mark.parametrize(
    "words, named",
    [
        (("--alpha=0.1",), "alpha was 0.5, is 0.1"),
        (("--on_policy=0.5",), "on_policy was 0.0, is 0.5"),
        (("--teacher_top_k=4",), "data.teacher was"),
    ],
)
def test_another_loss_or_teacher_is_refused_on_resuming_by_name(workshop, words, named):
    result = workshop.train("other_loss", "--max_steps=2")
    code, message = workshop.fails("other_loss", "--max_steps=2", "--resume", *words)
    assert code == 2 and named in message and message.count("\n") == 1
    assert same(result.weights, workshop.result("other_loss").weights)


# --- what cannot be done ----------------------------------------------------------------------------


def refusal(workshop, *words) -> str:
    code, message = workshop.fails("refused", "--max_steps=1", *words)
    assert code == 2 and message.count("\n") == 1, message
    assert not (workshop.folder / "refused" / "cache").exists()  # before data are read, which may take minutes
    return message


def test_a_teacher_with_another_tokenizer_is_refused(workshop):
    tokenizer = make_tokenizer(("ab",))
    network = load_model(workshop.folder / "teacher.pth").model
    other = random_network(network.config.replace(vocab_size=tokenizer.vocab_size))
    save_weights(workshop.folder / "foreign.pth", other, tokenizer, stage="full_sft")
    message = refusal(workshop, f"--teacher_weight={workshop.folder / 'foreign.pth'}")
    assert "foreign.pth has another tokenizer than the student" in message


def test_a_teacher_that_reads_less_far_than_the_rows_is_refused(workshop):
    loaded = load_model(workshop.folder / "teacher.pth")
    short = random_network(loaded.model.config.replace(max_position_embeddings=16))
    save_weights(workshop.folder / "short.pth", short, loaded.tokenizer, stage="full_sft")
    message = refusal(workshop, f"--teacher_weight={workshop.folder / 'short.pth'}")
    assert "--max_seq_len 32 is more than the 16 positions of --teacher_weight" in message


@pytest.mark.parametrize(
    "words, named",
    [
        (("--on_policy=0.5", "--teacher_top_k=4"), "give one of the two"),
        (("--teacher_top_k=272",), "not less than all 272 tokens"),
        (("--fit=2", "--batch_size=2"), "--fit chooses --batch_size and --accumulation_steps: give it, or these"),
        (("--loss_type=jsd", "--jsd_beta=0"), "--jsd_beta 0"),
        (("--max_new_tokens=9",), "--max_new_tokens is for sampled answers: give --on_policy"),
        (("--alpha=1.5",), "--alpha"),
        (("--on_policy=-0.1",), "--on_policy"),
        (("--temperature=0",), "--temperature"),
        (("--teacher_weight=nobody",), "no weight called nobody"),
        (("--teacher_weight=gone.pth",), "gone.pth does not exist"),
        (("--max_seq_len=65",), "--max_seq_len 65"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(workshop, words, named):
    assert named in refusal(workshop, *words)


def test_a_preset_beside_a_weight_names_both_sizes(workshop):
    message = refusal(workshop, "--preset=tiny", f"--from_weight={workshop.folder / 'teacher.pth'}")
    assert "--preset tiny makes a new network (hidden_size 256, num_hidden_layers 4), but " in message
    assert "teacher.pth has its own size (hidden_size " in message and "leave out --preset to go on with it" in message


def test_a_size_beside_a_weight_names_the_way_to_a_smaller_student(workshop):
    message = refusal(workshop, "--num_hidden_layers=1", f"--from_weight={workshop.folder / 'teacher.pth'}")
    assert "teacher.pth, which has 2: leave the flag out, or give --from_weight none for a student" in message


def test_several_teachers_of_a_name_want_a_path(workshop):
    folder = workshop.folder / "refused"
    folder.mkdir(exist_ok=True)
    for size in (32, 40):
        (folder / f"mentor_{size}.pth").write_bytes((workshop.folder / "teacher.pth").read_bytes())
    assert "or choose by a path" in refusal(workshop, "--teacher_weight=mentor")


def test_own_answers_to_texts_are_refused(workshop):
    code, message = workshop.fails("texts_own", "--max_steps=1", "--on_policy=0.5", data=("a.jsonl",))
    assert code == 2 and "--on_policy answers conversations" in message and message.count("\n") == 1
    assert not (workshop.folder / "texts_own" / "cache").exists()


def test_a_teacher_that_rotates_otherwise_is_another_one():
    """Its predictions must not be taken from the cache of the first, whose weights are the same."""
    first = random_network(SMALL)
    second = random_network(SMALL.replace(rope_theta=2 * SMALL.rope_theta))
    second.load_state_dict(first.state_dict())
    names = {Teacher(network, "somewhere").name for network in (first, random_network(SMALL), second)}
    assert len(names) == 2
