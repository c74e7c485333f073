"""The part of the page that compares runs of one stage: flags that differ, curves in one picture, and end losses."""

import html
import re
from itertools import combinations

from dataset.pages import table
from training.page.curves import POINTS, together
from training.page.left import Left
from training.page.one_run import end_of, in_words, seconds_of
from training.page.seeds import compare, pooled_deviation
from training.report.description import amount, duration

# Flags that do not change what is learned (`training/stages/arguments.py` declares them so), and the seed.
BESIDE_THE_POINT = set(
    "seed out_dir weight_name resume allow_changed dry_run save_interval log_interval eval_interval sample_interval"
    " histograms tracker tracker_project config activation_checkpointing offload_states".split()
)
SIZES = ("kind", "tokens_per_epoch", "different_tokens", "bytes_per_token", "parameters")  # of data and network
OF_THE_MEASURE = ("data_path", "val_path", "val_ratio", "max_seq_len", "tokenizer_path", "format")
MOST_PAIRS = 10
MOST_FILES = 10  # of code that differ and are named


def comparison_of(runs: list[Left], points: int = POINTS) -> str:
    """HTML. runs: two or more of one stage."""
    name = "reward" if any(left.series("reward")[1] for left in runs) else "loss"
    pictures = "".join(
        f"<figure><figcaption>{name} by {of}</figcaption>{together(runs, name, of, points)}</figure>"
        for of in ("tokens", "seconds")
    )
    return "\n".join(
        [
            f"<h2>{html.escape(runs[0].stage)}: {len(runs)} runs side by side</h2>",
            "<h3>What differs</h3>",
            _flags_table(runs),
            "<h3>Curves</h3>",
            f'<div class="curves wide">{pictures}</div>',
            '<p class="place">lines: training, smoothed; points: validation</p>',
            "<h3>Ends</h3>",
            _ends(runs, name),
            *(f"<p>{html.escape(sentence)}</p>" for sentence in sentences(runs, name)),
        ]
    )


def differing(runs: list[Left]) -> dict[str, list[str]]:
    """The flags whose values differ, each with its value in each run; then what of the environment differs, and the
    files of code."""
    found = {}
    for of, prefix in ((lambda left: left.flags, "--"), (lambda left: left.environment, "")):
        for name in dict.fromkeys(name for left in runs for name in of(left)):
            values = [in_words(of(left)[name]) if name in of(left) else "-" for left in runs]
            if len(set(values)) > 1 and name not in ("resume", "out_dir", "weight_name"):
                found[prefix + name] = values
    return found | _differing_code(runs)


def _differing_code(runs: list[Left]) -> dict[str, list[str]]:
    """The files that all runs have loaded and that differ, each with its digest in each run."""
    files = [name for name in _loaded_by_all(runs) if len({left.code[name] for left in runs}) > 1]
    if len(files) <= MOST_FILES:
        return {f"code of {name}": [left.code[name] for left in runs] for name in files}
    kinds: dict[str, str] = {}
    for left in runs:
        kinds.setdefault(_code_of(left, files), f"version {len(kinds) + 1}")
    return {f"code of {len(files)} files": [kinds[_code_of(left, files)] for left in runs]}


def _loaded_by_all(runs: list[Left]) -> list[str]:
    return sorted(set.intersection(*(set(left.code) for left in runs)))


def _code_of(left: Left, files: list[str]) -> str:
    return str([left.code[name] for name in files])


def _flags_table(runs: list[Left]) -> str:
    rows = [[name, *values] for name, values in differing(runs).items()]
    unknown = ", ".join(html.escape(left.label) for left in runs if not left.flags)
    said = f"<p>The flags of {unknown} are not known.</p>" if unknown else ""
    if rows:
        return table(["", *(left.label for left in runs)], rows) + said
    return said or "<p>No flag, and nothing around them.</p>"


def _ends(runs: list[Left], name: str) -> str:
    rows = []
    for left in runs:
        tokens = left.lines[-1].get("tokens") if left.lines else None
        ends = (end_of(left, name), min(left.series("val_loss")[1], default=None) if name == "loss" else None)
        shown = ["-" if value is None else f"{value:.4f}" for value in ends]
        counted = amount(tokens) if isinstance(tokens, int) else "-"
        rows.append([left.label, in_words(left.flags.get("seed", "-")), counted, duration(seconds_of(left)), *shown])
    return table(
        ["run", "seed", "tokens", "time in steps", f"{name} at the end (of validation, if any)", "lowest validation"],
        rows,
    )


def settings_of(runs: list[Left]) -> list[list[Left]]:
    """The runs that differ only in their seed, put together; a run whose flags are not known, or were changed on the
    way, stands alone. Other code is another setting, as another flag is: that is how a script is experimented with.

    Seeds of a way from the beginning have data and weights of the same size in folders of their own.
    """
    groups: dict[str, list[Left]] = {}
    for number, left in enumerate(runs):
        key = {name: _apart_from_seed(left, name) for name in left.flags if name not in BESIDE_THE_POINT}
        key |= {name: str(left.facts.get(name)) for name in SIZES}
        known = left.flags and not left.flags.get("allow_changed")
        groups.setdefault(str(sorted(key.items())) if known else f"alone {number}", []).append(left)
    return [part for group in groups.values() for same in _of_one_code(group) for part in _apart(same)]


def _of_one_code(group: list[Left]) -> list[list[Left]]:
    """`group` in parts that ran the same code, as far as all of them have loaded it."""
    with_code = [left for left in group if left.code]
    parts = {"": [left for left in group if not left.code]}  # of earlier versions
    files = _loaded_by_all(with_code) if with_code else []
    for left in with_code:
        parts.setdefault(_code_of(left, files), []).append(left)
    return [part for part in parts.values() if part]


def _apart(group: list[Left]) -> list[list[Left]]:
    """`group`, or its parts where a seed comes twice: then not the seeds, but the folders of their data and starts, and
    what was around the runs (the commit, the device), tell them apart."""
    seeds = [in_words(left.flags.get("seed")) for left in group]
    if len(set(seeds)) == len(seeds):
        return [group]
    parts: dict[str, list[Left]] = {}
    for left in group:
        named = {name: in_words(value) for name, value in left.flags.items() if name not in BESIDE_THE_POINT}
        around = {name: in_words(value) for name, value in left.environment.items()}
        parts.setdefault(str((sorted(named.items()), sorted(around.items()))), []).append(left)
    return list(parts.values())


def _apart_from_seed(left: Left, flag: str) -> str:
    """The value of a flag, in which the folder of the run itself, and its seed in the names of folders, do not count:
    `out/quickstart42/sample/sft.jsonl` of seed 42."""
    out_dir, seed = str(left.flags.get("out_dir")).rstrip("/"), in_words(left.flags.get("seed"))

    def shown(value) -> str:
        if isinstance(value, list):
            return " ".join(map(shown, value))
        if not isinstance(value, str) or "/" not in value:
            return in_words(value)
        folder, _, name = value.rpartition("/")
        if folder == out_dir or folder.startswith(f"{out_dir}/"):
            folder = f"OUT{folder.removeprefix(out_dir)}"
        folder = re.sub(rf"(?<!\d){re.escape(seed)}(?!\d)", "SEED", folder)
        return f"{folder}/{name}"

    return shown(left.flags.get(flag))


def sentences(runs: list[Left], name: str) -> list[str]:
    """What the ends of the runs say, and what they do not."""
    finished = [left for left in runs if left.steps[1] is None or left.steps[0] >= left.steps[1]]
    by_seed = _ends_by_seed(finished, name)
    # Runs of one seed are not independent: they count as one, by their mean.
    ends = {called: [sum(each) / len(each) for each in seeds.values()] for called, seeds in by_seed.items()}
    said = [f"{left.label} has not come to its end and is not compared." for left in runs if left not in finished]
    said += _of_the_measure(finished, name)
    for called, values in ends.items():
        said += _of_a_setting(called, values, by_seed[called], name)
    for left in finished:
        if left.flags.get("allow_changed"):
            said.append(f"{left.label} was changed on the way (--allow_changed) and is a setting of its own.")
    if ends and pooled_deviation(ends) is None:
        said.append(
            "Every setting was trained with one seed. One seed says nothing about how much of a difference is chance:"
            " train each setting again with --seed 1 and --seed 2, and look again."
        )
    return said + _of_pairs(ends, name)


def _ends_by_seed(finished: list[Left], name: str) -> dict[str, dict[str, list[float]]]:
    """Where the runs ended, by setting and by seed."""
    found: dict[str, dict[str, list[float]]] = {}
    for group in settings_of(finished):
        for left in group:
            if (end := end_of(left, name)) is not None:
                seed = in_words(left.flags.get("seed", left.label))
                found.setdefault(_called(group), {}).setdefault(seed, []).append(end)
    return found


def _of_the_measure(finished: list[Left], name: str) -> list[str]:
    """Why the ends of the runs may not measure the same."""
    said = []
    if finished and not all(left.series(f"val_{name}")[1] for left in finished):
        said.append(f"Not every run has validation: where there is none, the {name} of training stands for it.")
    for flag in OF_THE_MEASURE:
        if len({_apart_from_seed(left, flag) for left in finished}) > 1:
            said.append(f"The runs differ in --{flag}: their {name} may be measured on other text, or in other tokens.")
    return said


def _of_a_setting(called: str, values: list[float], by_seed: dict[str, list[float]], name: str) -> list[str]:
    """What its seeds say. values: an end for each seed."""
    said = []
    if len(values) > 1:
        mean = sum(values) / len(values)
        bounds = _bounds([end for each in by_seed.values() for end in each])
        said.append(f"{called}: {len(values)} seeds, {name} {bounds}, mean {mean:.4f}.")
    for seed, several in by_seed.items():
        if len(several) > 1:
            runs_of_it = f"{called}: seed {seed} was run {len(several)} times"
            said.append(f"{runs_of_it}, {name} {_bounds(several)}; their mean counts as one seed.")
    return said


def _of_pairs(ends: dict[str, list[float]], name: str) -> list[str]:
    """For every two settings whether they differ by more than chance."""
    said = []
    pairs = list(combinations(ends, 2))
    for first, second in pairs[:MOST_PAIRS]:
        found = compare(ends, first, second)
        words = f"{second} against {first}: {name} {found.difference:+.4f}"
        if found.is_more is None:
            said.append(f"{words}; whether that is more than chance is not known.")
        else:
            more = "more than seeds explain" if found.is_more else "no more than seeds explain"
            said.append(f"{words}, {more}: up to {found.by_chance:.4f} is chance in 19 of 20 cases.")
    if len(pairs) > MOST_PAIRS:
        said.append(f"{len(pairs) - MOST_PAIRS:,} more pairs are not listed: give fewer runs to compare.")
    return said


def _bounds(ends: list[float]) -> str:
    return f"{min(ends):.4f} to {max(ends):.4f}"


def _called(group: list[Left]) -> str:
    return group[0].label if len(group) == 1 else " + ".join(left.label for left in group)
