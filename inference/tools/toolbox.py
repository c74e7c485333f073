"""Tools that a model may call: from a call to its result."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.tools.arguments import BadCall, checked, quoted
from inference.tools.calls import Call
from inference.tools.loading import BUILT_IN, refuse_unknown
from inference.tools.running import Worker

SECONDS = 5.0  # that a call may take
CHARACTERS = 2000  # that a result may have


@dataclass(frozen=True)
class Result:
    """What a call came to. text: the result, or {"error": ...} that the model can read."""

    call: Call
    text: str
    failed: bool


class Toolbox:
    """The tools of `sources`, names of built-in ones and Python files, with a process that runs them.

    seconds: the time limit of a call; characters: the most of a result, the rest is cut.

    Attributes:
        schemas: of the tools, for `ChatRenderer.prompt`.
        identity: what a resumed run compares, the name of each source and a digest of its file.

    Raises `UsageError` for a source that does not exist, `SproutError` for one that cannot be used.
    """

    def __init__(self, sources: Sequence[str], seconds: float = SECONDS, characters: int = CHARACTERS):
        refuse_unknown(sources)
        self._worker = Worker(sources, seconds, characters)
        self.schemas = self._worker.schemas
        self.identity = [source if source in BUILT_IN else _digest(Path(source)) for source in sources]
        functions = [schema["function"] for schema in self.schemas]
        self._parameters = {function["name"]: function["parameters"] for function in functions}

    def run(self, call: Call) -> Result:
        """The result of one of the calls that `parse_calls` finds in a turn; an error is a result as well."""
        if call.error is not None:
            return _failure(call, call.error)
        if call.name not in self._parameters:
            known = ", ".join(self._parameters)
            return _failure(call, f"there is no function {quoted(call.name)}; there are: {known}")
        try:
            arguments = checked(call.name, self._parameters[call.name], call.arguments)
        except BadCall as error:
            return _failure(call, str(error))
        text, failed = self._worker.call(call.name, arguments)
        return _failure(call, text) if failed else Result(call, text, False)

    def close(self) -> None:
        """Ends the process of the tools."""
        self._worker.close()

    def __enter__(self) -> "Toolbox":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _digest(path: Path) -> str:
    return f"{path.name} {hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()}"


def _failure(call: Call, message: str) -> Result:
    whole = message.encode("utf-8", "replace").decode("utf-8")  # it may quote half a surrogate pair
    return Result(call, json.dumps({"error": whole}, ensure_ascii=False), True)
