"""A function becomes the schema that transformers makes of it; one that cannot is refused with its line."""

import json
import sys
import textwrap

import pytest
import transformers
from transformers.utils import get_json_schema
from transformers.utils.chat_template_utils import DocstringParsingException

from inference.tools.calculator import calculator
from inference.tools.loading import load, refuse_unknown
from inference.tools.lookup import lookup
from inference.tools.schemas import schema_of
from model.errors import SproutError, UsageError
from tests.inference.tools import toolfile

DESCRIBED = (toolfile.weather, toolfile.echo, toolfile.prints, toolfile.odd, calculator, lookup)


@pytest.mark.parametrize("function", DESCRIBED, ids=lambda function: function.__name__)
def test_the_schema_is_that_of_transformers(function):
    try:
        expected = get_json_schema(function)
    except DocstringParsingException:  # before 5.24 it overlooks some descriptions
        pytest.skip(f"transformers {transformers.__version__} does not read this docstring")
    expected["function"].pop("return", None)  # which a model has no use for
    assert json.dumps(schema_of(function, "f.py")) == json.dumps(expected)  # in the same order: it is rendered


def test_an_argument_needs_no_description():
    parameters = schema_of(toolfile.add, "f.py")["function"]["parameters"]
    properties = {"a": {"type": "integer"}, "b": {"type": "integer"}}
    assert parameters == {"type": "object", "properties": properties, "required": ["a"]}


@pytest.fixture(autouse=True)
def modules_as_they_were(monkeypatch):
    """A file is loaded here as in the process of the tools, which it may change as it likes."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "modules", {**sys.modules})


REFUSED = {
    "def f(x: int):\n    return x": "line 1: f has no docstring",
    "\n\ndef f(x: int, y):\n    'F.'": "line 3: the argument y of f has no type",
    "def f(x: tuple[int, int]):\n    'F.'": "line 1: the argument x of f is tuple[int, int], but a tool takes str",
    "def f(x: bytes):\n    'F.'": "the argument x of f is bytes, but",
    "def f(x: 'int | str'):\n    'F.'": "the argument x of f is int | str, but",
    "def f(x: dict[int, str]):\n    'F.'": "the argument x of f is dict",
    "from typing import List\ndef f(x: List):\n    'F.'": "line 2: the argument x of f is List",
    "def f(x: 'Nowhere'):\n    'F.'": "the types of f cannot be read",
    "def f(*xs: int):\n    'F.'": "f takes *xs: int, but a model gives every argument by its name",
    "def f(x: int, /):\n    'F.'": "f takes x: int, but",
    "async def f():\n    'F.'": "f is no plain function",
    "def f(:": "line 1: invalid syntax",
    "import no_such_module": "cannot be loaded: ModuleNotFoundError",
    "import sys\nsys.exit(3)": "cannot be loaded: SystemExit",
    "from os.path import join\n_x = 1": "has no public function",
    "def calculator():\n    'F.'": "there is a tool calculator already",
}


@pytest.mark.parametrize("source", REFUSED)
def test_what_cannot_be_a_tool_is_refused_in_a_sentence(tmp_path, source):
    file = tmp_path / "mine.py"
    file.write_text(source)
    with pytest.raises(SproutError) as caught:
        load(["calculator", str(file)])
    assert REFUSED[source] in str(caught.value) and str(file) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("letter", [b"\xb2\xe9", b"\0"], ids=["GBK", "UTF-16"])
def test_a_file_that_is_not_utf8_is_told_to_be_saved_so(tmp_path, letter):
    file = tmp_path / "mine.py"
    file.write_bytes(b"def f(x: int):\n    '%s'" % letter)
    with pytest.raises(SproutError, match=r"mine\.py, line \d+: .*: save the file as UTF-8$"):
        load([str(file)])


def test_the_public_functions_of_a_file_are_tools(tmp_path):
    (tmp_path / "beside.py").write_text("NUMBER = 3")
    file = tmp_path / "mine.py"
    source = """
        from functools import cache
        from os.path import join
        from beside import NUMBER
        @cache
        def later(x: "int" = NUMBER) -> int:
            'F.'
            return x
        def first(): 'G.'
        def _hidden(x): return x
        class Other: pass
        """
    file.write_text(textwrap.dedent(source))
    tools = load([str(file), "calculator", str(file)])
    assert list(tools) == ["later", "first", "calculator"] and tools["later"][1]() == 3


def test_a_source_that_does_not_exist_is_a_wrong_flag(tmp_path):
    refuse_unknown(["calculator", "lookup", __file__])
    with pytest.raises(UsageError, match="there is no tool calculate: name a Python file, or calculator or lookup"):
        refuse_unknown(["calculate"])
