"""Chat templates that lie beside a tokenizer as files, `additional_chat_templates/NAME.jinja`.

transformers writes them so since 4.51. Before, they were a list in tokenizer_config.json, which it still reads, and
which is the form that a `Tokenizer` keeps.
"""

import json
from pathlib import Path

DEFAULT = "chat_template.jinja"


def with_named_templates(files: dict[str, str], folder: Path) -> dict[str, str]:
    """The files of a tokenizer with all templates in tokenizer_config.json, if `folder` has some with names.

    As in transformers, templates in files replace those of the configuration. Raises OSError, UnicodeDecodeError.
    """
    named = {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.jinja"))}
    try:
        config = json.loads(files.get("tokenizer_config.json", "{}"))
    except (ValueError, RecursionError):  # `Tokenizer` says it
        return files
    if not named or not isinstance(config, dict):
        return files
    if DEFAULT in files:
        named = {"default": files[DEFAULT]} | named
    config["chat_template"] = [{"name": name, "template": template} for name, template in named.items()]
    text = json.dumps(config, ensure_ascii=False, indent=2) + "\n"
    return {name: each for name, each in files.items() if name != DEFAULT} | {"tokenizer_config.json": text}
