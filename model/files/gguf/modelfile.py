"""The `Modelfile` from which ollama makes a model of a GGUF file.

ollama formats a chat with a Go template, not with the Jinja template in the GGUF file, and it has none like ours.
"""

import re
from pathlib import Path

from model.disk import write_atomically
from model.errors import SproutError
from model.text.chat_template import template_of
from model.text.own_template import OwnTemplate
from model.text.tokenizer import IM_END, IM_START, Tokenizer

CHAT = (
    f"{{{{- range .Messages }}}}{IM_START}{{{{ .Role }}}}\n{{{{ .Content }}}}{IM_END}\n"
    f"{{{{ end }}}}{IM_START}assistant\n"
)
TEXT = "{{ .Prompt }}"  # nothing around it: a base model continues the text that it is given
_FIRST = "# Written by Sprout. ollama create NAME -f Modelfile"
_SYSTEM_TURN = rf"{re.escape(IM_START)}system\n(.*?){re.escape(IM_END)}\n"
_MOST_TOKENS = 4096  # of the context, for which ollama reserves memory


def modelfile(weights: str, tokenizer: Tokenizer, positions: int, chats: bool) -> str:
    """The text of the Modelfile.

    weights: the name of the GGUF file beside it. positions: those of the network. chats: whether it learned from chats.
    """
    lines = [_FIRST, f"FROM ./{weights}"]
    system = _system_of(tokenizer) if chats else None
    if not chats:
        lines.append(f'TEMPLATE """{TEXT}"""')
    elif system is None:
        lines.append("# The chats are not ChatML: write a TEMPLATE that formats them as the chat_template does.")
    else:
        lines.append(f'TEMPLATE """{CHAT}"""')
        lines += [f'SYSTEM """{system}"""'] if system else []
        lines.append(f'PARAMETER stop "{IM_END}"')
    lines += ["PARAMETER temperature 0.8", "PARAMETER top_p 0.9", f"PARAMETER num_ctx {min(positions, _MOST_TOKENS)}"]
    return "\n".join(lines) + "\n"


def _system_of(tokenizer: Tokenizer) -> str | None:
    """The system message that a ChatML template writes by itself ("" for none); None for a template of another kind."""
    if template_of(tokenizer) is None:
        return ""
    chat = [
        {"role": "user", "content": "q1"},
        {"role": "assistant", "content": "a1"},
        {"role": "user", "content": "q2"},
    ]
    with_system = [{"role": "system", "content": "s"}, *chat]
    try:
        template = OwnTemplate(tokenizer)
        alone, led = (template.render(messages, [], prompt=True) for messages in (chat, with_system))
    except SproutError:
        return None
    by_itself = re.fullmatch(f"(?:{_SYSTEM_TURN})?{re.escape(_written(chat))}", alone, re.DOTALL)
    return (by_itself[1] or "") if by_itself and led == _written(with_system) else None


def _written(chat: list[dict]) -> str:
    """What `CHAT` makes of a chat."""
    return "".join(_turn(**message) for message in chat) + f"{IM_START}assistant\n"


def _turn(role: str, content: str) -> str:
    return f"{IM_START}{role}\n{content}{IM_END}\n"


def weights_of(path: Path) -> str | None:
    """The name of the GGUF file that a Modelfile of ours is for; None where there is none."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    found = re.search(r"^FROM \./(.+)$", text, re.MULTILINE)
    return found[1] if found else None


def refuse_foreign(path: Path) -> None:
    """Raises `SproutError` for a Modelfile that Sprout did not write, or whose first line was changed."""
    ours = path.is_file() and path.read_text(encoding="utf-8", errors="replace").startswith(_FIRST)
    if path.exists() and not ours:
        raise SproutError(f"{path} is there already, and no export wrote it: move it away, or choose another folder")


def write_modelfile(path: Path, text: str) -> None:
    """Writes the Modelfile, or replaces one that Sprout wrote. Raises as `refuse_foreign`."""
    refuse_foreign(path)
    write_atomically(path, lambda file: file.write(text.encode("utf-8")))
