"""Phase 1 of continued pretraining: the rows of new tokens learn, and nothing else."""

import pytest
import torch

import eval_model
from model.errors import UsageError
from model.files.checkpoint import save_weights
from model.files.loading import load_model
from model.text.extend_bpe import extend
from tests.stages.workshop import SIZE, Workshop, assert_same_run, signal_at
from tests.support import random_network
from training.engine.step import Step

STEPS = ("--max_steps=4", "--warmup_steps=0", "--learning_rate=0.01", "--eval_interval=0")


@pytest.fixture
def workshop(tmp_path) -> Workshop:
    """A trained network with an untied head, and a tokenizer that extends its own."""
    workshop = Workshop.create(tmp_path)
    loaded = load_model(tmp_path / "start.pth")
    config = loaded.model.config.replace(tie_word_embeddings=False, vocab_size=loaded.tokenizer.vocab_size)
    save_weights(tmp_path / "start.pth", random_network(config), loaded.tokenizer, stage="pretrain")
    extend(loaded.tokenizer, ["the fox ran home. 从前新芽"] * 8, 12, 16).save(tmp_path / "longer")
    return workshop


def test_only_new_rows_change_to_the_bit_and_then_all(workshop):
    folder = workshop.folder
    begins = ("--from_weight", folder / "start.pth", "--tokenizer_path", folder / "longer")
    stage = Workshop(folder, "pretrain")
    result = stage.train("one", *STEPS, *begins, "--train_only=embeddings")
    before = load_model(folder / "start.pth", tokenizer_path=folder / "longer")
    after = load_model(folder / "one" / f"pretrain_{SIZE}.pth")
    assert before.new_tokens > 4 and after.tokenizer.vocab_size == before.tokenizer.vocab_size
    old, new = before.model.state_dict(), after.model.state_dict()
    for name, tensor in old.items():
        rows = -before.new_tokens if name in ("model.embed_tokens.weight", "lm_head.weight") else len(tensor)
        assert torch.equal(new[name][:rows], tensor[:rows]), name
        assert rows > 0 or not torch.equal(new[name][rows:], tensor[rows:]), name
    assert f"only the {before.new_tokens} new rows of embedding and head learn" in result.said
    learning = 2 * before.new_tokens * before.model.config.hidden_size
    assert f"{learning / 1e6:.3f} M trained" in result.said

    with signal_at(Step, "update", 2):
        assert stage.fails("cut", *STEPS, *begins, "--train_only=embeddings")[0] == 143
    assert_same_run(stage.train("cut", *STEPS, *begins, "--train_only=embeddings", "--resume"), result)

    stage.train("two", *STEPS, begins=("--from_weight", str(folder / "one" / f"pretrain_{SIZE}.pth")))
    second = load_model(folder / "two" / f"pretrain_{SIZE}.pth").model.state_dict()
    assert not torch.equal(second["model.layers.0.mlp.up_proj.weight"], new["model.layers.0.mlp.up_proj.weight"])


def test_what_has_no_new_rows_or_would_change_old_ones_is_refused(workshop):
    folder, stage = workshop.folder, Workshop(workshop.folder, "pretrain")
    begins = ("--from_weight", str(folder / "start.pth"), "--tokenizer_path", str(folder / "longer"))
    for flags, words in (
        (begins[:2], "there are none"),
        (("--from_weight=none",), "give it with --from_weight"),
        ((*begins, "--weight_decay=0.1"), "without weight decay"),
        ((*begins, "--freeze_layers=1"), "leave --freeze_layers"),
    ):
        with pytest.raises(UsageError, match=words):
            stage.train("refused", *STEPS, *flags, "--train_only=embeddings")


def test_new_tokens_are_not_written_before_they_were_trained(workshop, capsys):
    """A network of random weights would write them at once; a stage that learns from what it writes is refused."""
    folder, longer = workshop.folder, str(workshop.folder / "longer")
    flags = ["--weight_path", str(folder / "start.pth"), "--prompt", "QZ", "--temperature", "3", "--seed", "1"]
    eval_model.main(["--model_mode", "0", *flags, "--tokenizer_path", longer])
    untrained = capsys.readouterr()
    eval_model.main(["--model_mode", "0", *flags])
    assert "tokens of --tokenizer_path were never trained" in untrained.err
    assert untrained.out == capsys.readouterr().out

    begins = ("--from_weight", str(folder / "start.pth"), "--tokenizer_path", longer)
    with pytest.raises(UsageError, match="train them first"):
        Workshop(folder, "grpo").train("refused", *STEPS, *begins)


def test_a_second_round_of_the_same_name_goes_on_with_the_weight_that_it_began_with(workshop):
    """The start has been moved away, and its name means the result of the run, which has no new rows."""
    stage, longer = Workshop(workshop.folder, "pretrain"), ("--tokenizer_path", workshop.folder / "longer")
    words = (*STEPS, "--train_only=embeddings")
    own = ("--from_weight", "pretrain", *map(str, longer))
    for out in ("whole", "cut"):
        stage.train(out, *STEPS, begins=("--from_weight", str(workshop.folder / "start.pth")))
    whole = stage.train("whole", *words, begins=own)
    with signal_at(Step, "update", 2):
        assert stage.fails("cut", *words, begins=own)[0] == 143
    assert_same_run(stage.train("cut", *words, "--resume", begins=own), whole)
