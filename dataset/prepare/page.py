"""The report of a run as one page for a browser, with its pictures inside and no link to anything outside."""

import html
import re
from collections import Counter

from dataset.pages import table, whole_page
from dataset.prepare.pictures import bars_picture, dropped_picture, lengths_picture
from dataset.prepare.report import percent
from model.errors import counted

_UNITS = "words (in Chinese, Japanese and Thai: characters)"
# Why a rule drops a document.
MEANINGS = {
    "unreadable": "it cannot be read",
    "empty": "it holds nothing but white space",
    "nothing left after cleaning": "cleaning left no text",
    "length": f"it has too few {_UNITS}",
    "mean word length": "its words are too short or too long on average",
    "symbols": "it has too many hash signs and ellipses for its length",
    "bullet lines": "too many of its lines begin with a bullet",
    "ellipsis lines": "too many of its lines end with an ellipsis",
    "letters": f"too few of its {_UNITS} are letters or hold one",
    "stop words": "it has too few of the words that no prose of its script can do without",
    "terminal lines": "too few of its lines hold the end of a sentence",
    "short lines": "too many of its lines have 30 characters or fewer",
    "newlines": "it has too many lines for its length",
    "duplicate lines": "too many of its lines stand in it more than once",
    "characters of duplicate lines": "lines that stand in it more than once make up too much of it",
    "top of N grams": f"one sequence of N {_UNITS} makes up too much of it",
    "duplicated of N grams": f"sequences of N {_UNITS} that stand in it more than once make up too much of it",
    "mean line length": "its lines are too long on average",
    "longest line": "its longest line is too long",
    "letters and digits": "too few of its characters are letters and digits",
    "stands in a benchmark": "it holds a passage of a benchmark",
    "exact duplicate": "another document says the same",
    "near-duplicate": "another document says nearly the same",
    "more than its weight": "its source has more tokens than its weight asks for",
}


def page(report: dict) -> str:
    """report: as `Report.as_json` gives it."""
    sources, units = report["sources"], report["settings"]["tokens are"]
    parts = [
        f"<h1>{report['read']:,} documents in, {report['kept']:,} kept, {report['dropped']:,} dropped</h1>",
        *(f'<p class="warning">{html.escape(text)}</p>' for text in report["warnings"]),
        "<h2>Sources</h2>",
        _sources_table(report, units),
        "<h2>What was dropped</h2>",
        dropped_picture(
            {name: {"read": one["read"], "kept": one["kept"], **one["dropped"]} for name, one in sources.items()},
            list(report["rules"]),
        ),
        *(_rule(name, rule) for name, rule in report["rules"].items()),
        "<h2>What was changed</h2>",
        _changes(sources),
    ]
    before, after = (_summed(sources, key) for key in ("lengths_before", "lengths_after"))
    if before:
        parts += ["<h2>Lengths</h2>", lengths_picture(before, after)]
    if languages := _summed(sources, "languages"):
        parts += ["<h2>Languages of what is kept</h2>", bars_picture(languages, "languages")]
    if report["duplicates"]:
        parts += ["<h2>Duplicates between sources</h2>", _pairs_table(report["duplicates"])]
    if others := report["files that are not read"]:
        listed = "\n".join(others[:100]) + ("\n…" if len(others) > 100 else "")
        parts.append(
            f"<details><summary>Files that are not read: {len(others):,}</summary>"
            f"<blockquote>{html.escape(listed)}</blockquote></details>"
        )
    body = "\n".join(parts)
    return whole_page("Prepared data", body)


def _sources_table(report: dict, units: str) -> str:
    mixed = report["epochs"]
    head = ["source", "read", "kept", "share kept", "validation", units]
    if mixed:
        head += ["passes", "share of the mixture"]
    written = sum(one["tokens_written"] for one in report["sources"].values()) or 1
    rows = []
    for name, one in report["sources"].items():
        row = [name, f"{one['read']:,}", f"{one['kept']:,}", percent(one["kept"], one["read"])]
        row += [f"{one['validation']:,}", f"{one['tokens']:,}"]
        if mixed:
            row.append(" / ".join(f"{epochs[name]:.2f}" for epochs in mixed.values() if name in epochs))
            row.append(percent(one["tokens_written"], written))
        rows.append(row)
    return table(head, rows)


def _pairs_table(pairs: list[dict]) -> str:
    """pairs: the most documents first."""
    rows = [[each["dropped from"], each["kept in"], f"{each['documents']:,}"] for each in pairs[:30]]
    return table(["dropped from", "kept in", "documents"], rows)


def _changes(sources: dict) -> str:
    changes = _summed(sources, "changed")
    if not changes:
        return "<p>Nothing.</p>"
    return table(["change", "documents"], [[name, f"{count:,}"] for name, count in changes.most_common()])


def _rule(name: str, rule: dict) -> str:
    head = html.escape(counted(f"{name}: {rule['documents']:,} documents, {percent(rule['share'], 1)}"))
    meaning = f"<p>Each was dropped because {html.escape(meaning_of(name))}.</p>"
    return f"<details><summary>{head}</summary>{meaning}{''.join(map(_example, rule['first']))}</details>"


def meaning_of(rule: str) -> str:
    """Why the rule drops a document, in words."""
    grams = re.search(r"\d+(?= grams)", rule)
    return MEANINGS[rule.replace(grams[0], "N")].replace("N", grams[0]) if grams else MEANINGS[rule]


def _example(entry: dict) -> str:
    place = f"{entry['file']}:{entry['line']}"
    if "value" in entry:
        sign = "<" if entry["value"] < entry["threshold"] else ">"
        place += f" — {entry['value']:.4g} {sign} {entry['threshold']:g}"
    for key in ("kept", "benchmark"):
        if key in entry:
            place += f" — {'like' if key == 'kept' else 'in'} {entry[key]['file']}:{entry[key]['line']}"
    if "detail" in entry:
        place += f" — {entry['detail']}"
    text = f"<blockquote>{html.escape(entry['text'])}</blockquote>" if entry["text"].strip() else ""
    return f'<p class="place">{html.escape(place)}</p>{text}'


def _summed(sources: dict, key: str) -> Counter:
    total = Counter()
    for one in sources.values():
        total.update(one[key])
    return total
