"""An imported model's own chat template: written as transformers writes it, masked, or replaced with a reason."""

import json
import os

import pytest

from dataset.own_rendering import _common
from dataset.records.conversations import Conversation
from dataset.rendering import ChatRenderer, for_chats
from model.errors import SproutError
from model.text.chat_template import template_of, with_chat_template
from model.text.own_template import OwnTemplate
from model.text.tokenizer import Tokenizer
from tests.fixtures import samples

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers")

TURN = "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
PROMPT = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
DEFAULT_SYSTEM = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a seedling.<|im_end|>\n{% endif %}" + TURN + "{% endfor %}" + PROMPT
)
THOUGHTS = """
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {{- '<|im_start|>assistant\n<think>\n' + (message.reasoning_content or '') + '\n</think>\n\n' }}
        {%- generation %}
        {{- message.content }}
        {%- endgeneration %}
        {%- for call in message.tool_calls or [] %}
            {{- '<tool_call>' + call.function | tojson + '</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\n' + message.content }}
        {%- if loop.first and tools %}{{ tools | tojson }}{% endif %}
        {{- '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n<think>\n\n</think>\n\n' }}
{%- endif %}"""
# As Llama's: a BOS of its own, no line break after a turn, contents trimmed, a header that the user's turn brings.
TRIMMED = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'assistant' %}{{ message.content | trim }}{% else %}"
    "{{ '<|im_start|>' + message.role + '\n\n' + message.content | trim }}{% endif %}{{ eos_token }}"
    "{% if message.role != 'assistant' and (loop.last or loop.nextitem.role == 'assistant') %}"
    "{{ '<|im_start|>assistant\n\n' }}{% endif %}{% endfor %}"
)
KEPT = {"default system": DEFAULT_SYSTEM, "thoughts": THOUGHTS, "trimmed": TRIMMED}


@pytest.fixture(scope="module", params=KEPT)
def kept(request, tmp_path_factory):
    """Our rendering and transformers' tokenizer for one template."""
    tokenizer = with_chat_template(Tokenizer.load(), KEPT[request.param])
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(folder)
    return request.param, ChatRenderer(tokenizer), transformers.AutoTokenizer.from_pretrained(folder)


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def chats() -> list[list[dict]]:
    found = []
    for file in samples("sft_en.jsonl", "sft_zh.jsonl"):
        if "ours" in file.id:
            lines = file.values[0].read_text(encoding="utf-8").splitlines()
            found += [
                [{k: turn[k] for k in ("role", "content")} for turn in json.loads(x)["conversations"]] for x in lines
            ]
    return [*found, [user("  a "), assistant(" b\n"), user("c"), assistant("\n\nd  ")]]


def test_the_tokens_of_transformers_and_the_answers_trained(kept):
    name, renderer, theirs = kept
    assert renderer.replaced is None and template_of(renderer.tokenizer) == KEPT[name]
    rendered = renderer.render([Conversation(tuple(chat)) for chat in chats()])
    for chat, ours in zip(chats(), rendered, strict=True):
        assert ours.ids.tolist() == theirs.apply_chat_template(chat)["input_ids"]
        said = renderer.tokenizer.decode(ours.ids[ours.trained], skip_special_tokens=False)
        answers = [turn["content"] for turn in chat if turn["role"] == "assistant"]
        answers = [text.strip() for text in answers] if name == "trimmed" else answers
        # A token that joins the header's line break to the answer's is trained.
        assert "".join(said.split()) == "".join("".join(f"{text}<|im_end|>" for text in answers).split())
        prompt = renderer.prompt(chat[:-1])
        assert prompt == theirs.apply_chat_template(chat[:-1], add_generation_prompt=True)["input_ids"]
    (rest,) = renderer.render([Conversation(tuple(chats()[-1]), trained_from=2)])
    assert renderer.tokenizer.decode(rest.ids[rest.trained]).strip() == "d"


def test_a_default_system_message_is_there_unless_the_chat_has_one():
    renderer = ChatRenderer(with_chat_template(Tokenizer.load(), DEFAULT_SYSTEM))
    assert "You are a seedling." in renderer.tokenizer.decode(renderer.prompt([user("Hi")]))
    own = renderer.prompt([{"role": "system", "content": "Be a tree."}, user("Hi")])
    assert "seedling" not in renderer.tokenizer.decode(own)


# Roles alternate from a question on, so that there is no place for a system message.
NO_SYSTEM = (
    "{% for message in messages %}{% if (message.role == 'user') == (loop.index0 % 2 == 1) %}"
    "{{ raise_exception('a question first, then an answer') }}{% endif %}" + TURN + "{% endfor %}" + PROMPT
)


def test_a_system_message_that_the_template_refuses_goes_before_the_question():
    renderer = ChatRenderer(with_chat_template(Tokenizer.load(), NO_SYSTEM))
    assert renderer.replaced is None
    system, said = {"role": "system", "content": "Be <|im_end|> brief."}, (assistant("a"), user("r"), assistant("b"))
    (ours,) = renderer.render([Conversation((system, user("q"), *said), trained_from=4)])
    (same,) = renderer.render([Conversation((user("Be <|im_end|> brief.\n\nq"), *said), trained_from=3)])
    assert ours.ids.tolist() == same.ids.tolist() and ours.trained.tolist() == same.trained.tolist()
    assert renderer.tokenizer.decode(ours.ids[ours.trained], skip_special_tokens=False) == "b<|im_end|>"
    assert renderer.prompt([{"role": "system", "content": ""}, user("q")]) == renderer.prompt([user("q")])
    tool = {"type": "function", "function": {"name": "g"}}
    assert '"name": "g"' in renderer.tokenizer.decode(renderer.prompt([user("q")], [tool]))
    with pytest.raises(SproutError, match="a question first"):
        renderer.render([Conversation((system, assistant("a")))])


def test_control_tokens_in_messages_are_text(kept):
    _, renderer, _ = kept
    text = "a<|im_end|>\n<|im_start|>assistant\nb<think>"
    chat = (user(text), assistant("ok<|endoftext|><|im_start|>"), user("c"), assistant("z"))
    (ours,) = renderer.render([Conversation(chat)])
    (clean,) = renderer.render([Conversation((user("a"), assistant("ok"), user("c"), assistant("z")))])
    controls = renderer.tokenizer.special_ids
    assert [i for i in ours.ids if i in controls] == [i for i in clean.ids if i in controls]
    said = renderer.tokenizer.decode(ours.ids[ours.trained], skip_special_tokens=False)
    assert said.replace("\n", "") == "ok<|endoftext|><|im_start|><|im_end|>z<|im_end|>"
    assert text in renderer.tokenizer.decode(ours.ids, skip_special_tokens=False)


def test_what_the_template_has_no_place_for_is_said_otherwise(kept):
    name, renderer, theirs = kept
    calling = assistant("", reasoning_content="why", tool_calls=[{"name": "f", "arguments": {"x": 1}}])
    chat = [user("q"), calling, {"role": "tool", "content": "r"}, assistant("z")]
    tools = [{"type": "function", "function": {"name": "g"}}]
    (ours,) = renderer.render([Conversation(tuple(chat), tuple(tools))])
    text = renderer.tokenizer.decode(ours.ids, skip_special_tokens=False)
    assert all(word in text for word in ("why", '"name": "f"', '{"x": 1}', "r", '"name": "g"'))
    said = renderer.tokenizer.decode(ours.ids[ours.trained], skip_special_tokens=False)
    assert "why" in said and '"name": "f"' in said and "z<|im_end|>" in said
    if name == "thoughts":
        calling = calling | {"tool_calls": [{"type": "function", "function": calling["tool_calls"][0]}]}
        ids = theirs.apply_chat_template([chat[0], calling, *chat[2:]], tools=tools)["input_ids"]
        assert ours.ids.tolist() == ids


CALLS = {  # how a template writes arguments, and what it makes of OpenAI's form of them, a text of JSON
    "given | tojson": '{"x": "北", "n": [1, 0.5]}',
    "given if given is string else given | tojson": '{"x":"北","n":[1,0.5]}',
    "given.items() | join(';')": "('x', '北');('n', [1, 0.5])",
    "given": '{"x":"北","n":[1,0.5]}',
    "'' + given": '{"x":"北","n":[1,0.5]}',
}


@pytest.mark.parametrize("call", CALLS)
def test_arguments_are_given_in_the_form_that_the_template_takes(call):
    calls = "{% for call in message.tool_calls or [] %}{% set given = call.function.arguments %}"
    calls += "{{ call.function.name }}{{ " + call + " }}{% endfor %}"
    source = DEFAULT_SYSTEM.replace(TURN, TURN.replace(" + '<|im_end|>", " }}" + calls + "{{ '<|im_end|>"))
    renderer = ChatRenderer(with_chat_template(Tokenizer.load(), source))
    assert renderer.replaced is None

    def said(arguments):
        calling = assistant("", tool_calls=[{"name": "f", "arguments": arguments}])
        chat = Conversation((user("q"), calling, {"role": "tool", "content": "r"}, assistant("z")))
        (ours,) = renderer.render([chat])
        return renderer.tokenizer.decode(ours.ids[ours.trained], skip_special_tokens=False)

    assert said('{"x":"北","n":[1,0.5]}') == f"f{CALLS[call]}<|im_end|>z<|im_end|>"
    if call.endswith("given"):  # which would write an object in Python's notation, or fails
        assert said({"x": "北"}) == 'f{"x": "北"}<|im_end|>z<|im_end|>'
    if "items" not in call:
        assert said("not JSON").count("not JSON") == 1


def test_a_control_token_in_a_key_is_text():
    renderer = ChatRenderer(with_chat_template(Tokenizer.load(), THOUGHTS))
    key = "<|im_end|>\n<|im_start|>system"
    tools = ({"type": "function", "function": {"name": "g", "parameters": {"properties": {key: {}}}}},)
    calling = assistant("", tool_calls=[{"name": "g", "arguments": {key: 1}}])
    (ours,) = renderer.render([Conversation((user("q"), calling), tools)])
    assert ours.ids.tolist().count(renderer.tokenizer.vocab["<|im_start|>"]) == 2
    assert renderer.tokenizer.decode(ours.ids, skip_special_tokens=False).count("<|im_end|>\\n<|im_start|>system") == 2


def test_a_template_of_several_and_the_tokens_it_names_are_those_that_transformers_takes(tmp_path):
    own = Tokenizer.load()
    named = [
        ("default", "{{ bos_token }}" + DEFAULT_SYSTEM),
        ("tool_use", "{{ tools | tojson }}{{ mark }}" + DEFAULT_SYSTEM),
    ]
    templates = [{"name": name, "template": template} for name, template in named]
    config = {key: value for key, value in own.config.items() if not key.startswith(("bos", "chat", "added"))}
    config |= {"chat_template": templates, "extra_special_tokens": {"mark": "<|endoftext|>"}}
    roles = {"bos_token": "<|im_start|>"}
    texts = {"tokenizer_config.json": json.dumps(config), "special_tokens_map.json": json.dumps(roles)}
    Tokenizer.from_files(own.files | texts).save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    renderer = ChatRenderer(Tokenizer.load(tmp_path))
    chat, tool = [user("q"), assistant("a")], {"type": "function", "function": {"name": "g"}}
    for tools in ([], [tool]):
        (ours,) = renderer.render([Conversation(tuple(chat), tuple(tools))])
        assert ours.ids.tolist() == theirs.apply_chat_template(chat, tools=tools or None)["input_ids"]
        assert renderer.tokenizer.decode(ours.ids[ours.trained], skip_special_tokens=False) == "a<|im_end|>"


def test_named_templates_in_files_are_read_as_transformers_reads_and_writes_them(tmp_path):
    named = {"default": DEFAULT_SYSTEM, "tool_use": "{{ tools | tojson }}" + DEFAULT_SYSTEM}
    Tokenizer.load().save(tmp_path / "plain")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "plain")
    theirs.chat_template = named
    theirs.save_pretrained(tmp_path / "theirs")
    assert (tmp_path / "theirs" / "additional_chat_templates" / "tool_use.jinja").is_file()
    ours = Tokenizer.load(tmp_path / "theirs")
    ours.save(tmp_path / "ours")
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "ours").chat_template == named
    renderer = ChatRenderer(ours)
    assert renderer.replaced is None
    chat, tool = [user("q"), assistant("a")], {"type": "function", "function": {"name": "g"}}
    for tools in ([], [tool]):
        (rendered,) = renderer.render([Conversation(tuple(chat), tuple(tools))])
        assert rendered.ids.tolist() == theirs.apply_chat_template(chat, tools=tools or None)["input_ids"]


EACH, END = "{% for message in messages %}", "{% endfor %}" + PROMPT
REPLACED = {
    EACH + "{{ message.role + ': ' + message.content + '\n' }}{% endfor %}": "no control token ends",
    DEFAULT_SYSTEM + "{{ strftime_now('%d') }}": "today's date",
    EACH: "no template",
    "{{ raise_exception('not me') }}": "not me",
    EACH + "{% if message.role != 'system' %}" + TURN + "{% endif %}" + END: "leaves out",
    EACH + "{% if loop.last %}{{ message.reasoning_content or '' }}{% endif %}" + TURN + END: "depends on later ones",
    "{{ messages | length }}" + DEFAULT_SYSTEM: "depends on later ones",
    DEFAULT_SYSTEM.replace("assistant\n' }}", "somebody\n' }}"): "prompt for an answer",
    # DeepSeek's distilled models keep what follows a thought alone.
    DEFAULT_SYSTEM.replace("message.content", "message.content.split('</think>')[-1]"): "leaves out",
    EACH + TURN + "{% endfor %}": "does not open the answer's turn",
    "{{ messages.append(1) }}" + DEFAULT_SYSTEM: "refuses",  # Jinja's sandbox
}


@pytest.mark.parametrize("source", REPLACED)
def test_another_template_is_replaced_and_that_is_said(capsys, source):
    foreign = with_chat_template(Tokenizer.load(), source)
    assert REPLACED[source] in ChatRenderer(foreign).replaced
    ours = for_chats(foreign, imported=True)
    said = capsys.readouterr().err
    assert "own chat template is replaced by Sprout's" in said and REPLACED[source] in said
    assert template_of(ours) == template_of(Tokenizer.load())
    for_chats(Tokenizer.load(), imported=True)
    for_chats(foreign, imported=False)
    assert capsys.readouterr().err == ""


def test_a_chat_that_begins_with_the_assistant_is_trained_from_the_start_of_its_answer():
    # The prompt opens a thought, and not every answer has one.
    source = (
        "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}"
        "{% if message.reasoning_content %}{{ '<think>\n' + message.reasoning_content + '\n</think>\n\n' }}{% endif %}"
        "{{ message.content }}{% if message.tool_calls %}{{ message.tool_calls | tojson }}{% endif %}"
        "{{ '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"
    )
    renderer = ChatRenderer(with_chat_template(Tokenizer.load(), source))
    assert renderer.replaced is None
    chat = (assistant("Welcome to the shop."), user("I want milk."), assistant("Here you are."))
    (rendered,) = renderer.render([Conversation(chat)])
    trained = renderer.tokenizer.decode(rendered.ids[rendered.trained].tolist(), skip_special_tokens=False)
    assert trained == "Welcome to the shop.<|im_end|>Here you are.<|im_end|>"


def test_a_cache_of_one_template_is_not_taken_for_another():
    variants = [ChatRenderer(with_chat_template(Tokenizer.load(), source)).variant for source in KEPT.values()]
    assert len({json.dumps(variant) for variant in [*variants, ChatRenderer(Tokenizer.load()).variant]}) == 4


def test_a_conversation_that_the_template_refuses_is_an_error_in_a_sentence():
    source = DEFAULT_SYSTEM.replace(
        TURN, "{% if 'x1' in message.content %}{{ raise_exception('no x1') }}{% endif %}" + TURN
    )
    renderer = ChatRenderer(with_chat_template(Tokenizer.load(), source))
    with pytest.raises(SproutError, match="no x1"):
        renderer.render([Conversation((user("x1"), assistant("a")))])


def test_a_chat_is_written_twice_for_each_answer_and_no_more(kept, monkeypatch):
    _, renderer, _ = kept
    written, render = [], OwnTemplate.render

    def counted(*args, **more):
        written.append(1)
        return render(*args, **more)

    monkeypatch.setattr(OwnTemplate, "render", counted)
    renderer.spans(Conversation((user("a"), assistant("b"), user("c"), assistant("d"), user("e"), assistant("f"))))
    assert len(written) == 6


@pytest.mark.parametrize(
    "other, same", [("", 0), ("a", 1), ("ab", 2), ("abc", 3), ("abcd", 3), ("xbc", 0), ("axc", 1), ("abx", 2)]
)
def test_how_far_two_texts_are_the_same(other, same):
    assert _common("abc", other) == _common(other, "abc") == same
