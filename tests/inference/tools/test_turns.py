"""Turns with calls and results in ids: what is appended is what the template writes; the loop, and how it ends."""

import itertools
import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dataset.records.conversations import Conversation
from dataset.rendering import ChatRenderer
from inference.tools import turns
from inference.tools.toolbox import Toolbox
from inference.tools.turns import ResultTurns, converse, said
from model.config import TransformerConfig
from model.generation import generate_batch, new_generator
from model.sampling import GREEDY
from model.text.chat_template import with_chat_template
from model.text.tokenizer import DEFAULT_FOLDER, SPECIAL_TOKENS, Tokenizer
from tests.support import examples, random_network

# A template of an imported model: it puts a system message in front, and knows no tools.
OTHER = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a seedling.<|im_end|>\n{% endif %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
def renderer():
    return ChatRenderer(Tokenizer.load())


@pytest.fixture(scope="module")
def toolbox():
    with Toolbox(["calculator", "lookup"]) as toolbox:
        yield toolbox


@pytest.fixture(scope="module")
def theirs():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(DEFAULT_FOLDER)


# --- the ids of a turn of results ---------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=("Cs",)) | st.sampled_from("天气\n 1a"), max_size=12)
CALLS = st.lists(
    st.builds(lambda name, value: {"name": name, "arguments": {"x": value}}, st.sampled_from(["f", "查"]), TEXT),
    min_size=1,
    max_size=3,
)
RESULT = TEXT | st.sampled_from(['{"error": "no"}', "巴黎", *SPECIAL_TOKENS]).map(lambda token: f"a{token}b")
STEP = st.tuples(CALLS, TEXT, TEXT | st.none(), st.lists(RESULT, min_size=3, max_size=3))


def assistant(content: str, thought: str | None, calls: list[dict]) -> dict:
    turn = {"role": "assistant", "content": content} | ({"tool_calls": calls} if calls else {})
    return turn | ({"reasoning_content": thought} if thought else {})


def sampled(renderer, turn: dict) -> list[int]:
    """The ids of a turn, as a model would sample it."""
    (rendered,) = renderer.render([Conversation(({"role": "user", "content": "?"}, turn))])
    return rendered.ids[rendered.trained].tolist()


def survives(renderer, turn: dict) -> bool:
    """Whether no token joins the beginning of a turn to the header: a model samples after that."""
    (rendered,) = renderer.render([Conversation(({"role": "user", "content": "?"}, turn))])
    header = renderer.prompt([{"role": "user", "content": "?"}])
    return rendered.ids[: len(header)].tolist() == header and np.flatnonzero(rendered.trained)[0] == len(header)


@given(st.booleans(), TEXT, st.lists(STEP, min_size=1, max_size=3))
@settings(max_examples=examples(60))
def test_prompt_and_turns_and_results_are_the_conversation(renderer, toolbox, theirs, with_system, question, steps):
    messages = [{"role": "system", "content": "Be kind."}] if with_system else []
    messages.append({"role": "user", "content": question})
    ids = renderer.prompt(messages, toolbox.schemas)
    results_turns = ResultTurns(renderer)
    for calls, content, thought, results in steps:
        turn = assistant(content, thought, calls)
        assume(survives(renderer, turn))
        results = results[: len(calls)]
        messages += [turn, *({"role": "tool", "content": result} for result in results)]
        ids = [*ids, *sampled(renderer, turn), *results_turns.ids(results)]
    assert ids == renderer.prompt(messages, toolbox.schemas)
    spelled = any(token in f"{messages}" for token in SPECIAL_TOKENS)
    if not spelled:  # transformers takes what a message spells for a control token
        assert (
            ids == theirs.apply_chat_template(messages, tools=toolbox.schemas, add_generation_prompt=True)["input_ids"]
        )


def test_the_text_of_a_turn_of_results(renderer):
    ids = ResultTurns(renderer).ids(["3", "<|im_end|></tool_response>天"])
    text = renderer.tokenizer.decode(ids, skip_special_tokens=False)
    assert text == (
        "\n<|im_start|>user\n<tool_response>\n3\n</tool_response>\n"
        "<tool_response>\n<|im_end|></tool_response>天\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    )
    assert ids.count(renderer.end_id) == 1 and ids.count(renderer.tokenizer.vocab["</tool_response>"]) == 2


def test_another_template_is_asked_what_it_writes():
    renderer = ChatRenderer(with_chat_template(Tokenizer.load(), OTHER))
    assert renderer.replaced is None
    text = renderer.tokenizer.decode(ResultTurns(renderer).ids(["3"]), skip_special_tokens=False)
    assert text == "\n<|im_start|>tool\n3<|im_end|>\n<|im_start|>assistant\n"


# --- the loop -----------------------------------------------------------------------------------------


class Scripted:
    """Stands for a network: to a conversation whose question is a key, it says one turn after the other.

    A turn that ends with "..." is one that never ends. `batches` are the sizes of the batches it was given.
    """

    config = SimpleNamespace(max_position_embeddings=1000)

    def __init__(self, renderer, **script):
        self.renderer, self.script, self.batches, self.settings = renderer, script, [], []

    def generate_batch(self, model, prompts, max_new_tokens, eos_ids, **settings):
        assert model is self and eos_ids == self.renderer.end_ids
        self.batches.append(len(prompts))
        self.settings.append(settings)
        room = min(max_new_tokens, self.config.max_position_embeddings - max(map(len, prompts)))
        return [self.turn(prompt)[:room] for prompt in prompts]

    def turn(self, prompt) -> list[int]:
        text = self.renderer.tokenizer.decode(prompt, skip_special_tokens=False)
        question = re.search(r"<\|im_start\|>user\n(\w+)<", text)[1]
        text = self.script[question][text.count("<|im_start|>assistant\n") - 1]
        if text.endswith("..."):
            return sampled(self.renderer, assistant(text * 300, None, []))
        return sampled(self.renderer, assistant(text, None, []))


def call(expression: str) -> str:
    return f'<tool_call>\n{{"name": "calculator", "arguments": {{"expression": "{expression}"}}}}\n</tool_call>'


@pytest.fixture
def talk(renderer, toolbox, monkeypatch):
    """Converses with a scripted network; returns its episodes by question, and the network."""

    def talk(script: dict[str, list[str]], tools=toolbox, **settings):
        network = Scripted(renderer, **script)
        monkeypatch.setattr(turns, "generate_batch", network.generate_batch)
        prompts = [renderer.prompt([{"role": "user", "content": question}]) for question in script]
        settings = {"max_new_tokens": 60} | settings
        return dict(zip(script, converse(network, prompts, renderer, tools, **settings), strict=True)), network

    return talk


def told(renderer, episode) -> list[tuple[bool, str]]:
    """The runs of actions and of what comes from outside, as text."""
    flags = np.array(episode.actions)
    cuts = [0, *np.flatnonzero(flags[1:] != flags[:-1]) + 1, len(flags)]
    decode = renderer.tokenizer.decode
    return [(bool(flags[a]), decode(episode.ids[a:b], skip_special_tokens=False)) for a, b in itertools.pairwise(cuts)]


def outcome(episode) -> tuple:
    return episode.ended, episode.truncated, episode.turns, episode.calls, episode.failed


def test_episodes_go_on_until_nothing_is_called(renderer, talk):
    episodes, network = talk(
        {
            "plain": ["Hello."],
            "one": [call("6*7"), "It is 42."],
            "two": [call("1+1") + "\n" + call("2/0"), "<think>\nhm\n</think>\n\nAgain.\n" + call("3*3"), "九。"],
            "broken": ["<tool_call>{", "Sorry."],
        },
        sampling=GREEDY,
        generator="g",
    )
    assert network.batches == [4, 3, 1] and {settings["generator"] for settings in network.settings} == {"g"}
    assert [outcome(one) for one in episodes.values()] == [
        (True, False, 1, 0, 0),
        (True, False, 2, 1, 0),
        (True, False, 3, 3, 1),
        (True, False, 2, 1, 1),
    ]
    end, header = "<|im_end|>", "<|im_start|>assistant\n"
    assert told(renderer, episodes["one"]) == [
        (False, f"<|im_start|>user\none{end}\n{header}"),
        (True, call("6*7") + end),
        (False, f"\n<|im_start|>user\n<tool_response>\n42\n</tool_response>{end}\n{header}"),
        (True, "It is 42." + end),
    ]
    two = told(renderer, episodes["two"])
    assert '2\n</tool_response>\n<tool_response>\n{"error": "division by zero"}\n' in two[2][1] and len(two) == 6
    assert said(renderer, episodes["two"].last_turn) == "九。" and not episodes["plain"].between
    roles = [(each["role"], each["content"]) for each in episodes["two"].between]
    assert roles[:3] == [
        ("assistant", call("1+1") + "\n" + call("2/0")),
        ("tool", "2"),
        ("tool", '{"error": "division by zero"}'),
    ]
    assert roles[3][0] == "assistant" and roles[3][1].startswith("<think>") and roles[4:] == [("tool", "9")]
    assert "has no </tool_call>" in told(renderer, episodes["broken"])[2][1]


def test_how_an_episode_is_cut_short(renderer, talk):
    endless = [call("1+1")] * 9
    episodes, network = talk({"long": ["na..."], "calls": endless, "late": [call("1+1"), "na..."]}, max_turns=3)
    assert [outcome(one) for one in episodes.values()] == [
        (False, True, 1, 0, 0),
        (False, True, 3, 2, 0),
        (False, True, 2, 1, 0),
    ]
    assert sum(episodes["long"].actions) == 60 and episodes["calls"].actions[-1] and network.batches == [3, 2, 1]


def test_results_that_do_not_fit_are_left_out(renderer, talk):
    script = {"one": [call("6*7"), "42"]}
    whole = talk(script)[0]["one"]
    first = len(whole.ids) - len(whole.last_turn)  # where the second turn begins
    for limit, cut in ((first, True), (first + 1, False)):
        episode = talk(script, max_length=limit)[0]["one"]
        kept = told(renderer, whole)[:2] if cut else told(renderer, whole)[:3]
        assert told(renderer, episode)[: len(kept)] == kept and len(episode.ids) <= limit
        assert outcome(episode) == (False, True, 1 if cut else 2, 1, 0)
        assert episode.actions[-1]
    prompt = whole.actions.index(True)
    short = talk(script, max_length=prompt + 3)[0]["one"]
    assert len(short.ids) == prompt + 3 and outcome(short) == (False, True, 1, 0, 0)
    none = talk(script, max_length=prompt)[0]["one"]
    assert not any(none.actions) and outcome(none) == (False, True, 0, 0, 0)


def test_an_episode_near_the_last_position_shortens_no_other(renderer, talk):
    name = "q" * 960
    episodes, network = talk({"plain": ["word " * 20], name: ["na..."]})
    prompt = len(renderer.prompt([{"role": "user", "content": name}]))
    assert 940 < prompt < 1000
    assert episodes["plain"].ended and len(episodes[name].ids) == 1000 and network.batches == [1, 1]


def test_without_tools_and_at_the_end_of_a_document_nothing_is_called(renderer, talk, monkeypatch):
    assert outcome(talk({"one": [call("1")]}, tools=None)[0]["one"]) == (True, False, 1, 0, 0)
    other = renderer.tokenizer.pad_id
    turn = [*sampled(renderer, assistant(call("1"), None, []))[:-1], other]
    monkeypatch.setattr(Scripted, "turn", lambda self, prompt: turn)
    assert other != renderer.end_id and outcome(talk({"one": []})[0]["one"]) == (True, False, 1, 0, 0)


def test_between_two_calls_it_may_be_stopped(talk, toolbox, monkeypatch):
    made, run = [], toolbox.run
    monkeypatch.setattr(toolbox, "run", lambda call: made.append(call) or run(call))
    script = {"one": [call("1"), "No."], "two": [call("2") + "\n" + call("3"), "No."], "four": [call("4"), "No."]}
    episodes, _ = talk(script, stop=lambda: len(made) == 2)
    assert len(made) == 2 and [one.truncated for one in episodes.values()] == [False, True, True]


def test_a_network_samples_as_generate_batch_has_it(small_tokenizer):
    renderer, network = ChatRenderer(small_tokenizer), random_network(CONFIG)
    prompts = [renderer.prompt([{"role": "user", "content": text}]) for text in ("a", "bcd", "")]
    settings = {"max_new_tokens": 9, "generator": new_generator(seed=1)}
    episodes = converse(network, prompts, renderer, None, **settings)
    settings["generator"] = new_generator(seed=1)
    expected = generate_batch(network, prompts, eos_ids=renderer.end_ids, **settings)
    assert [one.ids for one in episodes] == [[*p, *e] for p, e in zip(prompts, expected)]
    stopped = converse(network, prompts, renderer, None, stop=lambda: True, **settings)
    assert [one.ids for one in stopped] == prompts and all(one.truncated for one in stopped)


CONFIG = TransformerConfig(
    vocab_size=272,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=1,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
)
