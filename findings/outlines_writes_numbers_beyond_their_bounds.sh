#!/usr/bin/env bash
# outlines 1.3.3, outlines-core 0.2.14, beside llguidance 1.5.0 and jsonschema 4.26.0, Python 3.11 (seen 2026-11-30).
# Given a Pydantic model or a JSON schema, outlines lets a network write such JSON only. It makes a regular expression
# of the schema, and what that maker (outlines-core, the default for networks of transformers, llama.cpp and MLX) does
# not know it leaves out in silence: an int from 1 to 5 may be -40, a price above 0 may be negative, multiple_of and the
# set that Pydantic writes as uniqueItems count for nothing. A pattern is obeyed alone, and dropped as soon as
# min_length or max_length stands beside it. allOf becomes one part after the other, so that the right answer cannot be
# written, and what can is no JSON. Nobody looks for a mark of -40 where the form is guaranteed. outlines-core was asked
# for an error instead of silence (its issue 147), which this version does not have. With backend="llguidance" outlines
# obeys all of these but the set, which is refused by a message. Or validate each answer by Pydantic.
# Output seen (right by jsonschema; what outlines and llguidance let a network write):
#   1 to 5: {"stars": 4} is right; outlines yes, llguidance yes
#   1 to 5: {"stars": -40} is wrong; outlines yes, llguidance no
#   above 0: {"price": -1.5} is wrong; outlines yes, llguidance no
#   a multiple of 5: {"step": 7} is wrong; outlines yes, llguidance no
#   a pattern: {"code": "9!"} is wrong; outlines no, llguidance no
#   a pattern and max_length: {"code": "9!"} is wrong; outlines yes, llguidance no
#   a set: {"tags": [3, 3]} is wrong; outlines yes, llguidance refuses the schema
#   allOf: {"a": 1, "b": 2} is right; outlines no, llguidance yes
#   allOf: {"a": 1}{"b": 2} is wrong; outlines yes, llguidance no
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet outlines==1.3.3 outlines-core==0.2.14 llguidance==1.5.0 jsonschema==4.26.0 \
    pydantic==2.12.4
cat > "$folder/bounds.py" <<'PYTHON'
import json
import re
import sys

import jsonschema
from llguidance import LLMatcher, LLTokenizer
from outlines import backends
from outlines.types.dsl import JsonSchema, python_types_to_terms, to_regex
from pydantic import BaseModel, Field


class Stars(BaseModel):
    stars: int = Field(ge=1, le=5)


class Price(BaseModel):
    price: float = Field(gt=0)


class Step(BaseModel):
    step: int = Field(multiple_of=5)


class Code(BaseModel):
    code: str = Field(pattern="^[A-Z]{2}$")


class BoundedCode(BaseModel):
    code: str = Field(pattern="^[A-Z]{2}$", max_length=2)


class Tags(BaseModel):
    tags: set[int]


PARTS = [{"type": "object", "properties": {name: {"type": "integer"}}, "required": [name]} for name in "ab"]
BOTH = json.dumps({"allOf": PARTS})
TOKENS = LLTokenizer("byte")


def is_right(schema: str, text: str) -> bool:
    try:
        return jsonschema.Draft202012Validator(json.loads(schema)).is_valid(json.loads(text))
    except json.JSONDecodeError:
        return False


def by_outlines(kind: type[BaseModel] | str, text: str) -> str:
    term = JsonSchema(kind) if isinstance(kind, str) else python_types_to_terms(kind)
    return "yes" if re.fullmatch(to_regex(term), text) else "no"


def by_llguidance(schema: str, text: str) -> str:
    matcher = LLMatcher(TOKENS, LLMatcher.grammar_from_json_schema(schema))
    if matcher.is_error():
        return "refuses the schema"
    ids = TOKENS.tokenize_str(text)
    return "yes" if matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting() else "no"


if backends.JSON_SCHEMA_DEFAULT_BACKEND != "outlines_core":
    sys.exit("no longer so: another backend is the default")
for name, kind, text, expected in (
    ("1 to 5", Stars, '{"stars": 4}', (True, "yes", "yes")),
    ("1 to 5", Stars, '{"stars": -40}', (False, "yes", "no")),
    ("above 0", Price, '{"price": -1.5}', (False, "yes", "no")),
    ("a multiple of 5", Step, '{"step": 7}', (False, "yes", "no")),
    ("a pattern", Code, '{"code": "9!"}', (False, "no", "no")),
    ("a pattern and max_length", BoundedCode, '{"code": "9!"}', (False, "yes", "no")),
    ("a set", Tags, '{"tags": [3, 3]}', (False, "yes", "refuses the schema")),
    ("allOf", BOTH, '{"a": 1, "b": 2}', (True, "no", "yes")),
    ("allOf", BOTH, '{"a": 1}{"b": 2}', (False, "yes", "no")),
):
    schema = kind if isinstance(kind, str) else json.dumps(kind.model_json_schema())
    right, core, other = found = is_right(schema, text), by_outlines(kind, text), by_llguidance(schema, text)
    print(f"{name}: {text} is {'right' if right else 'wrong'}; outlines {core}, llguidance {other}")
    if found != expected:
        sys.exit("no longer so")
PYTHON
"$folder/env/bin/python" -W ignore "$folder/bounds.py"
