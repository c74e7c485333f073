#!/usr/bin/env bash
# transformers 5.24.0, tokenizers as it brings it, Python 3.11 (seen 2026-11-28).
# Named chat templates may stand in tokenizer_config.json (a list of names and texts) or one a file in
# additional_chat_templates/. As soon as one such file exists, everything in tokenizer_config.json is dropped, the
# default template included, without a warning: whoever adds a file "tool_use.jinja" to an older folder takes away its
# default, and `apply_chat_template` then uses the other one or fails.
# Output seen:
#   in tokenizer_config.json: ['default', 'rag']
#   with one file beside it: ['tool_use']
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet transformers==5.24.0
cat > "$folder/read.py" <<'PYTHON'
import json
import sys
from pathlib import Path

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

folder = Path(sys.argv[1])
(folder / "additional_chat_templates").mkdir(parents=True)
Tokenizer(models.WordLevel({"a": 0, "b": 1}, "a")).save(str(folder / "tokenizer.json"))
templates = [{"name": "default", "template": "plain"}, {"name": "rag", "template": "documents"}]
settings = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": templates}
(folder / "tokenizer_config.json").write_text(json.dumps(settings))


def names() -> list[str]:
    return sorted(PreTrainedTokenizerFast.from_pretrained(folder).chat_template)


print("in tokenizer_config.json:", names())
(folder / "additional_chat_templates" / "tool_use.jinja").write_text("tools")
print("with one file beside it:", names())
PYTHON
"$folder/env/bin/python" "$folder/read.py" "$folder/tokenizer" 2> /dev/null | tee "$folder/seen"
grep -qx "in tokenizer_config.json: \['default', 'rag'\]" "$folder/seen"
grep -qx "with one file beside it: \['tool_use'\]" "$folder/seen"
