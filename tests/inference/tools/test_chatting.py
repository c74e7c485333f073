"""eval_model.py --tools: what a person sees of a call, what is kept of it, and what is counted."""

import json

import pytest

import eval_model
from dataset.records.conversations import from_conversations
from dataset.rendering import ChatRenderer
from inference import writer
from inference.chat import Chat
from inference.dialogue import obey
from inference.tools import turns
from inference.tools.chatting import answer_with_tools
from inference.tools.toolbox import Toolbox
from inference.tools.turns import ResultTurns
from inference.writer import Piece
from model.config import TransformerConfig
from model.errors import UsageError
from model.files.checkpoint import save_weights
from model.text.tokenizer import Tokenizer
from tests.inference.tools.test_turns import assistant, call, sampled
from tests.support import random_network

CALL = call("6*7").replace("\n", " ").removeprefix("<tool_call> ").removesuffix(" </tool_call>")


@pytest.fixture(scope="module")
def renderer():
    return ChatRenderer(Tokenizer.load())


@pytest.fixture(scope="module")
def toolbox():
    with Toolbox(["calculator"]) as toolbox:
        yield toolbox


STOP = object()  # where a person presses Ctrl-C


class Script:
    """Stands for a `Writer`: says one turn after the other, a token a piece, and remembers the prompts."""

    def __init__(self, renderer, *said):
        self.renderer, self.turns, self.prompts = renderer, list(said), []

    def write(self, prompt, goes_on=False):
        self.prompts.append(prompt)
        turn = self.turns.pop(0)
        if isinstance(turn, str):
            turn = sampled(self.renderer, assistant(turn, None, []))
        for number, token in enumerate(turn, 1):
            if token is STOP:
                raise KeyboardInterrupt
            yield Piece(self.renderer.tokenizer.decode([token]), number, 0.5, token)
        yield Piece("", len(turn), 0.5)


def test_calls_and_results_are_shown_and_kept(renderer, toolbox, capsys, tmp_path):
    chat = Chat(renderer, 2000, 100, tools=toolbox.schemas)
    script = Script(renderer, "<think>\nhm\n</think>\n\nI see <b>.\n" + call("6*7"), "It is 42.", "Bye.")
    answer_with_tools(toolbox, chat, script, "Product?")
    shown, notes = capsys.readouterr()
    assert shown == f"thinking: hm\nI see <b>.\ncall: {CALL}\nresult: 42\nIt is 42.\n" and "tokens/s" in notes
    first = {"role": "assistant", "content": "I see <b>.\n" + call("6*7"), "reasoning_content": "hm"}
    question, result = {"role": "user", "content": "Product?"}, {"role": "tool", "content": "42"}
    assert chat.messages == [question, first, result, {"role": "assistant", "content": "It is 42."}]
    # Within an answer the network sees its own ids again, its thought included; later, what it said without it.
    beginning = renderer.prompt([question], toolbox.schemas)
    assert script.prompts[0] == beginning and script.prompts[1][: len(beginning)] == beginning
    assert script.prompts[1] == renderer.prompt([question, first, result], toolbox.schemas)
    answer_with_tools(toolbox, chat, script, "Thanks!")
    spoken = [{key: turn[key] for key in ("role", "content")} for turn in chat.messages[:5]]
    assert script.prompts[2] == renderer.prompt(spoken, toolbox.schemas)
    obey(chat, "save", str(tmp_path / "chat.jsonl"))
    saved = from_conversations(json.loads((tmp_path / "chat.jsonl").read_text(encoding="utf-8")))
    assert list(saved.messages) == chat.messages and list(saved.tools) == toolbox.schemas


def test_a_stopped_answer_keeps_what_was_said_before_the_call(renderer, toolbox, capsys):
    chat = Chat(renderer, 2000, 100, tools=toolbox.schemas)
    begun = sampled(renderer, assistant("Hm. " + call("1"), None, []))[:-9]
    script = Script(renderer, "So: " + call("6*7"), [*begun, STOP])
    answer_with_tools(toolbox, chat, script, "One?", can_stop=True)
    assert capsys.readouterr().out.endswith("result: 42\nHm.\n")
    assert [turn["content"] for turn in chat.messages] == ["One?", "So: " + call("6*7"), "42", "Hm."]


def test_an_exchange_with_calls_is_forgotten_as_a_whole(renderer, toolbox, capsys):
    chat = Chat(renderer, 260, 30, tools=toolbox.schemas)
    prompt, calls = len(renderer.prompt([], toolbox.schemas)), [{"role": "tool", "content": "x" * 40}] * 2
    chat.add("One?", "One.", calls=calls)
    chat.add("Two?", "Two.")
    ids, forgotten = chat.prompt("Three?" + "x" * (190 - prompt))
    assert forgotten == 1 and "Two" in renderer.tokenizer.decode(ids) and "One" not in renderer.tokenizer.decode(ids)


UNCLOSED = 'call: {x\nresult: {"error": "the call has no </tool_call> at its end"}\nOh.\n'


@pytest.mark.parametrize(
    ("said", "room", "shown", "kept", "note"),
    [
        (["<tool_call>{x", "Oh."], 999, UNCLOSED, "Oh.", "tokens/s"),
        (["Hm. " + call("1")] * 8, 2000, None, "Hm.", "still calls after 8 turns"),
        (["Hm. " + call("1")], 45, None, "Hm.", "do not fit"),
        ([call("1")], 0, None, None, "the question is forgotten"),
        ([[500, 501]], 999, None, None, "tokens/s"),
    ],
)
def test_answers_that_come_otherwise(renderer, toolbox, capsys, said, room, shown, kept, note):
    prompt = renderer.prompt([{"role": "user", "content": "One?"}], toolbox.schemas)
    if not room:  # for the call and its result, but not for a token more
        room = len(sampled(renderer, assistant(said[0], None, []))) + len(ResultTurns(renderer).ids(["1"]))
    chat = Chat(renderer, len(prompt) + room, 20, tools=toolbox.schemas)
    answer_with_tools(toolbox, chat, Script(renderer, *said), "One?")
    out, notes = capsys.readouterr()
    assert (shown is None or out == shown) and note in notes
    assert kept is None or chat.messages[-1]["content"] == kept


@pytest.fixture(scope="module")
def weight(tmp_path_factory, renderer):
    config = TransformerConfig(
        vocab_size=6400,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
    )
    path = tmp_path_factory.mktemp("out") / "full_sft_16.pth"
    save_weights(path, random_network(config), renderer.tokenizer, stage="full_sft")
    return path


def test_eval_model_answers_a_prompt_with_calls(weight, renderer, capsys, monkeypatch):
    script = [sampled(renderer, assistant(text, None, [])) for text in (call("6*7"), "42!")]
    monkeypatch.setattr(writer, "new_tokens", lambda *_, **__: iter([(token,) for token in script.pop(0)]))
    flags = ["--model_mode=1", f"--weight_path={weight}", "--prompt=Product?", "--device=cpu"]
    eval_model.main([*flags, "--tools", "calculator"])
    assert capsys.readouterr().out == f"> Product?\ncall: {CALL}\nresult: 42\n42!\n\n"


def test_eval_model_counts_answers_with_calls(weight, renderer, capsys, monkeypatch, tmp_path):
    def generate_batch(model, prompts, **settings):
        texts = [renderer.tokenizer.decode(prompt) for prompt in prompts]
        said = [
            "42." if "42\n</tool_response>" in text else call("6*7" if "right" in text else "1/0") for text in texts
        ]
        said = ["No idea." if "error" in text else words for text, words in zip(texts, said)]
        return [sampled(renderer, assistant(words, None, [])) for words in said]

    monkeypatch.setattr(turns, "generate_batch", generate_batch)
    made = [assistant(call("0"), None, []), {"role": "tool", "content": "0"}]
    chats = [
        [{"role": "user", "content": question}, *between, assistant("42.", None, [])]
        for question, between in (("right?", made), ("wrong?", []))
    ]
    file = tmp_path / "questions.jsonl"
    file.write_text("".join(json.dumps({"conversations": chat}) + "\n" for chat in chats))
    eval_model.main([f"--weight_path={weight}", f"--data_path={file}", "--answers", "--json", "--tools", "calculator"])
    out, notes = capsys.readouterr()
    assert json.loads(out)["accuracy"] == 0.5
    assert "calls: 2, answered with an error: 1; answers cut short: 0 of 2" in notes


@pytest.mark.parametrize("flags", [["--model_mode=0"], ["--model_mode=1", "--data_path=x.jsonl"]])
def test_flags_that_mean_nothing_with_tools(flags):
    with pytest.raises(UsageError, match="--tools are called in a chat"):
        eval_model.main([*flags, "--tools", "calculator"])
