"""The messages and tools of a chat request, in the form in which conversations are rendered everywhere here."""

import json

from inference.server.parameters import BadRequest, text
from inference.tools.calls import CALL

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
MOST_NESTING = 50  # of a schema: far from where Python's writer gives up


def read_messages(body: dict) -> list[dict]:
    """`messages` as turns: role, content, and for the assistant's its calls.

    A thought is left out, as in a chat at a terminal, unless it belongs to the answer that is being written: then no
    turn of the user follows it, only results of calls.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("give a list of messages, at least one", "messages")
    turns = [_turn(message, f"messages[{place}]") for place, message in enumerate(messages)]
    asked = max((place for place, turn in enumerate(turns) if turn["role"] == "user"), default=0)
    for turn in turns[:asked]:
        turn.pop("reasoning_content", None)
    return turns


def _turn(message, where: str) -> dict:
    if not isinstance(message, dict):
        raise BadRequest(f"{where} must be an object", where)
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise BadRequest(f"the role of {where} must be one of {', '.join(ROLES)}", f"{where}.role")
    turn = {"role": ROLES[role], "content": _content(message.get("content"), role, f"{where}.content")}
    if role == "tool" and not isinstance(message.get("tool_call_id"), str | None):
        raise BadRequest("tool_call_id must be a text", f"{where}.tool_call_id")
    if role == "assistant":
        if thought := text(message, "reasoning_content") or text(message, "reasoning"):
            turn["reasoning_content"] = thought
        calls = message.get("tool_calls")
        if not isinstance(calls, list | None):
            raise BadRequest("tool_calls must be a list", f"{where}.tool_calls")
        if calls:
            turn["tool_calls"] = [_call(call, f"{where}.tool_calls[{number}]") for number, call in enumerate(calls)]
    return turn


def _content(value, role: str, where: str) -> str:
    if isinstance(value, str):
        return value
    if value is None and role == "assistant":
        return ""
    if not isinstance(value, list):
        raise BadRequest(f"{where} must be a text or a list of parts", where)
    for part in value:
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise BadRequest(f'{where} may only have parts {{"type": "text", "text": ...}}', where)
    return "\n".join(part["text"] for part in value)


def _call(call, where: str) -> dict:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise BadRequest(f"{where} must name a function", where)
    given = function.get("arguments")
    given = "{}" if given in (None, "") else given
    try:
        arguments = json.loads(given) if isinstance(given, str) else given
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the arguments of {where} must be JSON", where) from error
    if not isinstance(arguments, dict) or _nesting(arguments) > MOST_NESTING:
        raise BadRequest(f"the arguments of {where} must be an object, nested at most {MOST_NESTING} deep", where)
    return {"name": function["name"], "arguments": arguments}


def read_tools(body: dict) -> list[dict]:
    """`tools`, as the template shows them."""
    tools = body.get("tools")
    if tools is None:
        return []
    if not isinstance(tools, list):
        raise BadRequest("tools must be a list", "tools")
    for number, tool in enumerate(tools):
        where = f"tools[{number}]"
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            raise BadRequest(f'{where} must be {{"type": "function", "function": {{"name": ...}}}}', where)
        if not isinstance(function.get("parameters"), dict | None) or not isinstance(
            function.get("description"), str | None
        ):
            raise BadRequest(f"{where}: parameters are an object, and the description is a text", where)
        if _nesting(tool) > MOST_NESTING:
            raise BadRequest(f"{where} is nested more than {MOST_NESTING} deep", where)
    return tools


def beginning_of(choice, tools: list[dict]) -> str:
    """The text that an answer has to begin with if `tool_choice` demands a call; "" if it does not."""
    where = "tool_choice"
    if choice in (None, "none", "auto"):
        return ""
    if not tools:
        raise BadRequest("there are no tools to choose from", where)
    if choice == "required":
        return f'{CALL}\n{{"name": "'
    function = choice.get("function") if isinstance(choice, dict) and choice.get("type") == "function" else None
    names = [tool["function"]["name"] for tool in tools]
    if not isinstance(function, dict) or function.get("name") not in names:
        raise BadRequest(f"choose none, auto, required, or a function among {', '.join(names)}", where)
    return f'{CALL}\n{{"name": {json.dumps(function["name"], ensure_ascii=False)}, "arguments": '


def _nesting(value) -> int:
    """How deep lists and objects are in each other."""
    depth, level = 0, [value]
    while level := [one for one in level if isinstance(one, dict | list)]:
        depth += 1
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    return depth
