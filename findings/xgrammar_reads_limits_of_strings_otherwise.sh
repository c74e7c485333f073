#!/usr/bin/env bash
# xgrammar 0.2.9, beside jsonschema 4.26.0, Python 3.11 (seen 2026-11-30).
# A grammar that xgrammar makes of a JSON schema lets a model write a string in full if the schema says only "string".
# With minLength or maxLength, however large, it lets it write nothing that JSON escapes: no quotation mark, line break
# or backslash (issue 800 of xgrammar). A pattern is taken for one of the whole text, where JSON Schema looks for it
# anywhere, and it is laid over the JSON text, not over the value: so a value with a backslash or a quotation mark that
# fits the pattern cannot be written. None of this fails or warns. So what keeps a field short makes a model end it at
# the first quotation, or leave out the line breaks of code.
# Output seen (a schema of a string, a text, what jsonschema says of it, whether the grammar lets it be written):
#   no limit; "one\ntwo"; right; yes
#   no limit; "say \"no\""; right; yes
#   maxLength 8000; "one two"; right; yes
#   maxLength 8000; "one\ntwo"; right; no
#   maxLength 8000; "say \"no\""; right; no
#   minLength 1; "say \"no\""; right; no
#   pattern [0-9]+; "room 12"; right; no
#   pattern ^[0-9]+$; "12"; right; yes
#   pattern ^[a-z]+\\[a-z]+$; "a\\b"; right; no
#   pattern ^"[a-z]+"$; "\"no\""; right; no
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet torch==2.13.0 transformers==5.24.0 numpy==2.3.4 pydantic==2.12.5 jsonschema==4.26.0
env/bin/pip install --quiet --no-deps xgrammar==0.2.9 apache-tvm-ffi==0.1.15.post2  # triton, for a GPU, is left out
cat > write.py <<'PYTHON'
import json

import xgrammar
from jsonschema import ValidationError, validate

vocabulary = [bytes([number]) for number in range(256)] + [b"<end>"]
info = xgrammar.TokenizerInfo(vocabulary, vocab_type=xgrammar.VocabType.RAW, stop_token_ids=[256])
compiler = xgrammar.GrammarCompiler(info)


def lets_write(schema: dict, text: str) -> bool:
    matcher = xgrammar.GrammarMatcher(compiler.compile_json_schema(json.dumps(schema)))
    return matcher.accept_string(text) and matcher.accept_token(256)


def judged(schema: dict, text: str) -> str:
    try:
        validate(json.loads(text), schema)
    except ValidationError:
        return "wrong"
    return "right"


ASKED = (
    ({}, r'"one\ntwo"'),
    ({}, r'"say \"no\""'),
    ({"maxLength": 8000}, '"one two"'),
    ({"maxLength": 8000}, r'"one\ntwo"'),
    ({"maxLength": 8000}, r'"say \"no\""'),
    ({"minLength": 1}, r'"say \"no\""'),
    ({"pattern": "[0-9]+"}, '"room 12"'),
    ({"pattern": "^[0-9]+$"}, '"12"'),
    ({"pattern": r"^[a-z]+\\[a-z]+$"}, r'"a\\b"'),
    ({"pattern": '^"[a-z]+"$'}, r'"\"no\""'),
)
for limits, text in ASKED:
    schema = {"type": "string"} | limits
    says = ", ".join(f"{key} {value}" for key, value in limits.items()) or "no limit"
    print(f"{says}; {text}; {judged(schema, text)}; {'yes' if lets_write(schema, text) else 'no'}")
PYTHON
env/bin/python -W ignore write.py > seen 2> errors || { cat errors; exit 1; }
cat seen
cat > expected <<'TEXT'
no limit; "one\ntwo"; right; yes
no limit; "say \"no\""; right; yes
maxLength 8000; "one two"; right; yes
maxLength 8000; "one\ntwo"; right; no
maxLength 8000; "say \"no\""; right; no
minLength 1; "say \"no\""; right; no
pattern [0-9]+; "room 12"; right; no
pattern ^[0-9]+$; "12"; right; yes
pattern ^[a-z]+\\[a-z]+$; "a\\b"; right; no
pattern ^"[a-z]+"$; "\"no\""; right; no
TEXT
cmp -s seen expected || { echo "no longer so: the output above is another one"; exit 1; }
