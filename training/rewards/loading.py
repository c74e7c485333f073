"""`--reward`: from its words to functions, and from functions to a table of numbers.

    --reward exact                          a built-in one, of weight 1
    --reward format:0.2                     with a weight
    --reward my_file.py:my_function:0.5     a function of the user's own
    --reward model:out/reward_512.pth       a reward model: a .pth, adapters of one, or a Hugging Face folder

A function is called with keywords, once for all answers of a step:

    prompts         list[str]   the text that the network read, the chat template included
    completions     list[str]   the text that it wrote: of a conversation over several turns, its last answer
    <field>         list        each field of the record, such as `answer`, repeated for each of its answers
    messages        list        the conversation as {"role", "content", ...}, the answer included
    prompt_ids, completion_ids  list[list[int]], of the same texts
    ended, max_new_tokens       lists: whether the answer ended by itself, and the most tokens that it may have

It gets only those that it names, or all if it has `**columns`. It returns a number for each answer, or None where it
has no opinion.
"""

import difflib
import hashlib
import importlib.util
import inspect
import math
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from model.errors import SproutError, UsageError, on_one_line
from training.rewards.built_in import BUILT_IN, COMPARING, RIGHT_COLUMNS, without_right

MODEL = "model"
LARGEST_WEIGHT, LARGEST_REWARD = 1e6, 1e12  # the square of their product is far below what float32 can hold
ALWAYS = ("prompts", "completions", "messages", "prompt_ids", "completion_ids", "ended", "max_new_tokens")


@dataclass(frozen=True)
class Reward:
    name: str
    function: Callable[..., Sequence[float | None]]
    weight: float = 1.0
    content: str = ""  # of what is not ours: the digest of its file, or of its parameters

    @property
    def identity(self) -> str:
        """What a resumed run compares: the same name may mean another function by then."""
        return f"{self.name}:{self.weight:g} {self.content}".strip()

    @property
    def place(self) -> str:
        """File, line and name of the function, for messages."""
        code = getattr(inspect.unwrap(self.function), "__code__", None)
        return f"{code.co_filename}:{code.co_firstlineno} {self.name}" if code else self.name


def load_rewards(
    items: Sequence[str],
    *,
    tokenizer=None,
    device=None,
    say: Callable[[str], None] = lambda text: print(text, file=sys.stderr),
) -> list[Reward]:
    """The functions that the words behind `--reward` name, in order.

    tokenizer: that of the policy; a reward model with the same one rates the tokens themselves. device: a
    `model.device.Device`, where reward models compute and how; None: the CPU, in float32. say: is told what was opened.
    Raises `UsageError` for what names no reward, `SproutError` for a file that cannot be used.
    """
    files: dict[Path, ModuleType] = {}  # each is run once, whatever the number of its functions
    rewards = [_load(item, files, tokenizer, device, say) for item in items]
    names = [reward.name for reward in rewards]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"--reward: two rewards are called {twice}, so their figures could not be told apart")
    return rewards


def _load(item: str, files: dict, tokenizer, device, say) -> Reward:
    # The name of a file may hold colons (C:\mine.py), but neither a function nor a weight does.
    if own := re.fullmatch(r"(?P<file>.+\.py)(?::(?P<function>[^:/\\]*))?(?::(?P<weight>[^:/\\]*))?", item):
        if own["weight"] is None and own["function"] and not own["function"].isidentifier():
            own = {**own.groupdict(), "function": None, "weight": own["function"]}
        weight, path = _weight(own["weight"], item), Path(own["file"])
        function = _function(_run(path, item, files), own["function"], item)
        return Reward(own["function"] or "", function, weight, _digest(path))
    name, _, rest = item.partition(":")
    if name == MODEL:
        path, colon, weight = rest.rpartition(":")
        if not colon or _as_number(weight) is None:
            path, weight = rest, None
        if not path:
            raise UsageError(f"--reward {item}: name the reward model, as in model:out/reward_512.pth:0.5")
        from model.device import choose_device
        from training.rewards.reward_model import ModelReward

        device = device or choose_device("cpu", "float32")
        model = ModelReward.open(path, tokenizer, device, say)
        return Reward(MODEL, model, _weight(weight, item), model.identity)
    if name not in BUILT_IN:
        known = [*BUILT_IN, MODEL]
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}, and file.py:function"
        raise UsageError(f"--reward {item}: there is no reward {on_one_line(name)!r}: {hint}")
    return Reward(name, BUILT_IN[name], _weight(rest if ":" in item else None, item))


def _digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def _weight(text: str | None, item: str) -> float:
    weight = 1.0 if text is None else _as_number(text)
    if weight is None:
        raise UsageError(f"--reward {item}: {text!r} is no weight: give a number, as in exact:0.5")
    if math.fabs(weight) > LARGEST_WEIGHT:
        raise UsageError(f"--reward {item}: the weight {weight:g} is beyond {LARGEST_WEIGHT:,.0f}: give a smaller one")
    return weight


def _as_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


# --- functions of the user's own --------------------------------------------------------------------


def _run(path: Path, item: str, files: dict) -> ModuleType:
    """The module that a file is, in `files` or run now."""
    if not path.is_file():
        raise UsageError(f"--reward {item}: there is no file {path}")
    path = path.resolve()
    if path in files:
        return files[path]
    spec = importlib.util.spec_from_file_location(f"reward_file_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look there
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # it may import what lies beside it; ours come first
    try:
        with torch.enable_grad():  # a file may switch gradients off, and training needs them: the context restores it
            spec.loader.exec_module(module)
    except SyntaxError as error:
        from inference.tools.loading import advice_on  # good files do not load it

        where = f"{error.filename or path}:{error.lineno or 1}"
        said = f"{where}: {error.msg}, so --reward {item} was not loaded{advice_on(error)}"
        raise SproutError(said) from error
    except (Exception, SystemExit) as error:
        raise SproutError(f"{_where(error, path)} when --reward {item} was loaded") from error
    return files.setdefault(path, module)


def _function(module: ModuleType, name: str | None, item: str) -> Callable:
    """The function `name` of a file that was run."""
    file = Path(module.__file__).name
    own = [key for key, one in vars(module).items() if inspect.isfunction(one) and one.__module__ == module.__name__]
    if not name:
        raise UsageError(f"--reward {item}: name the function, as in {file}:{own[0] if own else 'function'}")
    function = getattr(module, name, None)
    if function is None:
        close = difflib.get_close_matches(name, own, n=1)
        hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(own) or 'no function'}"
        raise UsageError(f"--reward {item}: {file} has no function {name}: {hint}")
    if wrong := _wrong_signature(function):
        raise SproutError(f"{module.__file__} {name} {wrong}: write def {name}(prompts, completions, **columns)")
    return function


def _wrong_signature(function) -> str | None:
    """Why a function cannot be called as rewards are, in words; None if it can."""
    if not callable(function) or inspect.isclass(function):
        return "is no function"
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        return "is asynchronous or a generator, and returns no list"
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return "does not say which arguments it takes"
    if any(p.kind is p.POSITIONAL_ONLY for p in parameters):
        return "takes arguments by position only, and is called with keywords"
    if not any(p.kind is p.VAR_KEYWORD or p.name in ("completions", "completion_ids", "messages") for p in parameters):
        return "does not take the completions"
    return None


# --- rating -----------------------------------------------------------------------------------------


def check_columns(rewards: Sequence[Reward], columns: Sequence[str]) -> None:
    """Raises `SproutError` if a reward asks for a column that is not among `columns`, those of the records.

    A run calls it before it samples the first answer and writes anything.
    """
    for reward in rewards:
        if reward.function is BUILT_IN.get(reward.name) and reward.name in COMPARING:
            if not set(RIGHT_COLUMNS) & set(columns):
                raise without_right(reward.name)
        _check_asked(reward, {*ALWAYS, *columns})


def _check_asked(reward: Reward, given) -> None:
    """Raises `SproutError` if the function of a reward has to be given what is not among the names `given`."""
    parameters = inspect.signature(reward.function).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    if missing := next((name for name in needed if name not in given), None):
        raise SproutError(
            f"{reward.place} asks for {missing!r}, which the records do not have: there are {', '.join(sorted(given))}"
        )


def rate(
    rewards: Sequence[Reward], prompts: Sequence[str], completions: Sequence[str], columns: dict[str, Sequence]
) -> Tensor:
    """The rewards of S answers by each function, float64 [S, functions] on the CPU, without the weights; NaN for None.

    columns: what else a function may ask for (see the top of this module), each of S values.
    Raises `SproutError`, in a sentence that names the function, if one fails or returns anything else than S numbers.
    """
    count = len(completions)
    given = {**columns, "prompts": list(prompts), "completions": list(completions)}
    if wrong := next((name for name, values in given.items() if len(values) != count), None):
        raise ValueError(f"{wrong} has {len(given[wrong])} values for {count} answers")
    found = [_checked(reward, _called(reward, given), count) for reward in rewards]
    return torch.tensor(found, dtype=torch.float64).reshape(len(rewards), count).T.contiguous()


def _called(reward: Reward, given: dict):
    parameters = inspect.signature(reward.function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        keywords = given
    else:
        keywords = {p.name: given[p.name] for p in parameters if p.name in given}
    _check_asked(reward, given)
    try:
        with torch.enable_grad():  # it may switch them off
            return reward.function(**{name: list(values) for name, values in keywords.items()})  # it may change them
    except SproutError:
        raise
    except (Exception, SystemExit) as error:  # sys.exit(0) would end the run as if it were complete
        if str(getattr(reward.function, "__module__", "")).startswith(__package__):  # a fault of ours
            raise
        raise SproutError(f"the reward {reward.place} failed: {_where(error)}") from error


def _checked(reward: Reward, found, count: int) -> list[float]:
    """What a function returned as floats, NaN for None."""
    if hasattr(found, "tolist"):  # an array or a tensor
        found = found.tolist()
    if not isinstance(found, list | tuple):
        raise SproutError(f"{reward.place} returned {_kind(found)}, not a list with a number for each answer")
    if len(found) != count:
        raise SproutError(f"{reward.place} returned {len(found)} numbers for {count} answers")
    return [_as_reward(reward, index, value) for index, value in enumerate(found)]


def _as_reward(reward: Reward, index: int, value) -> float:
    if value is None:
        return math.nan
    if isinstance(value, str | bytes):  # float() would read them
        raise SproutError(f"{reward.place} returned {_kind(value)} for answer {index}, not a number or None")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise SproutError(f"{reward.place} returned {_kind(value)} for answer {index}, not a number or None") from error
    if not math.isfinite(number):
        raise SproutError(f"{reward.place} returned {number} for answer {index}: return None where it has no opinion")
    if math.fabs(number) > LARGEST_REWARD:
        most = f"no reward may exceed {LARGEST_REWARD:g} in size"
        raise SproutError(f"{reward.place} returned {number:g} for answer {index}: {most}")
    return number


def _kind(value) -> str:
    return "nothing" if value is None else f"a value of type {type(value).__name__}"


def _where(error: BaseException, path: Path | None = None) -> str:
    """Where an error arose, and what it says, on one line: the last place in the file, if one is given."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if path is None or frame.filename == str(path)] or frames
    said = on_one_line(next(iter(str(error).splitlines()), ""))
    return f"{own[-1].filename}:{own[-1].lineno}: {type(error).__name__}{': ' if said else ''}{said}"
