"""eval_model.py on a file of conversations: the loss of what is answered."""

import json
import math

import pytest
import torch

from dataset.records.conversations import Conversation
from dataset.rendering import ChatRenderer
from model.files.checkpoint import save_weights
from tests.stages.asked import WRONG, record, run, write
from tests.stages.talker import LEARNED, talker, turns


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    save_weights(folder / "full_sft_64.pth", *talker(), stage="full_sft")
    return folder


def brute_force(cases, limit: int) -> tuple[float, int, int]:
    """Nats, targets and hits of what the assistant says, token by token, in float64."""
    network, tokenizer = talker()
    nats = targets = hits = 0
    for rendered in ChatRenderer(tokenizer).render([Conversation(tuple(messages)) for messages, _, _ in cases]):
        with torch.no_grad():
            logits = network(torch.from_numpy(rendered.ids.copy()).long()[None])[0].double()
        ends = [i for i in range(len(rendered.ids)) if rendered.ids[i] == 2 and rendered.trained[i] and i <= limit]
        for place in range(1, (ends[-1] if ends else limit) + 1):
            if rendered.trained[place]:
                nats -= logits[place - 1].log_softmax(-1)[rendered.ids[place]].item()
                hits += logits[place - 1].argmax().item() == rendered.ids[place]
                targets += 1
    return nats, targets, hits


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_trained_tokens_of_a_file_are_scored(capsys, tmp_path, out, batch_size):
    cases = (*LEARNED, *WRONG[:2])
    path = write(tmp_path / "chats.jsonl", *(record(*case) for case in cases))
    text, notes = run(capsys, out, path, "--json", "--batch_size", batch_size, "--dtype", "float32")
    nats, targets, hits = brute_force(cases, 512)
    assert text.count("\n") == 1 and "conversations" in notes
    assert json.loads(text) == {
        "loss": pytest.approx(nats / targets, rel=1e-4),
        "perplexity": pytest.approx(math.exp(nats / targets), rel=1e-4),
        "token_accuracy": pytest.approx(hits / targets),
        "tokens": targets,
        "conversations": len(cases),
        "cut": 0,
        "left_out": 0,
        "weight": str(out / "full_sft_64.pth"),
        "file": str(path),
    }
    assert "token_accuracy" in run(capsys, out, path)[0]


def test_long_conversations_are_cut_after_a_turn_or_left_out_and_counted(capsys, tmp_path, out):
    cases = (*LEARNED, (turns("x" * 60, "y"), None, None))
    path = write(tmp_path / "chats.jsonl", *(record(*case) for case in cases))
    result = json.loads(run(capsys, out, path, "--json", "--max_seq_len", 48, "--dtype", "float32")[0])
    nats, targets, _ = brute_force(LEARNED, 48)
    # The two with two answers keep the first; where a system message is, the only answer is cut inside.
    assert (result["cut"], result["left_out"]) == (3, 1)
    assert result["tokens"] == targets and result["loss"] == pytest.approx(nats / targets, rel=1e-4)
