"""What a run did with everything that came in: counted by source, by rule, by language, by length."""

import math
from collections import Counter
from dataclasses import dataclass, field
from shlex import quote

import numpy as np

from dataset.prepare.settings import Settings
from dataset.prepare.sources import FROM_HERE_ON
from model.errors import counted

EXAMPLES = 3  # of each rule
SHOWN = 300  # characters of an example
MUCH = 0.6  # of a source that is dropped: a filter that takes more of a curated file has a mistake, or the wrong rules


def percent(part: float, whole: float) -> str:
    """A share to a tenth of a per cent, that shows neither something as nothing nor a part as the whole."""
    share = part / max(whole, 1)
    if 0 < share < 0.0005:
        return "<0.1%"
    return ">99.9%" if 0.9995 <= share < 1 else f"{share:.1%}"


def length_class(characters: int) -> int:
    """Two classes for each doubling of the length."""
    return int(2 * math.log2(max(characters, 1)))


@dataclass
class SourceReport:
    """Documents of a source. kept + sum(dropped) = read."""

    read: int = 0
    kept: int = 0  # validation included
    validation: int = 0
    written: int = 0  # lines in the files of results: what is repeated counts each time
    dropped: Counter = field(default_factory=Counter)  # by rule
    changed: Counter = field(default_factory=Counter)  # documents in which something was changed, by what
    languages: Counter = field(default_factory=Counter)  # of what is kept
    lengths_before: Counter = field(default_factory=Counter)  # by `length_class`
    lengths_after: Counter = field(default_factory=Counter)
    characters: int = 0  # of what is kept
    tokens: int = 0
    tokens_written: int = 0


class Report:
    def __init__(self, settings: Settings):
        self._settings = settings
        self.sources = [SourceReport() for _ in settings.sources]
        self.rules: dict[str, dict] = {}
        self.pairs: Counter[tuple[str, str]] = Counter()  # duplicates: (source dropped, source kept)
        self.damaged: list[tuple[str, int]] = []  # files, and the line from which on nothing of them was read
        self.encoded: dict[str, str] = {}  # files that look like another encoding than UTF-8, and how to convert them
        self.epochs: dict[str, dict[str, float]] = {}  # by form and source, where weights are given
        self._source_of_file = np.array([source for source, _ in settings.files])

    def add_counts(self, counts: dict[str, dict]) -> None:
        """counts: see `judged.Judged.counts`, after JSON."""
        for source, found in counts.items():
            one = self.sources[int(source)]
            one.read += found["read"]
            one.changed.update(found["changes"])
            one.lengths_before.update({int(length): count for length, count in found["lengths"].items()})

    def add_kept(self, rows: np.ndarray, copies: np.ndarray, validation: np.ndarray) -> None:
        """rows: `judged.DOCUMENT` [N]; copies, validation: see `Fates`."""
        times = copies + validation
        sources = self._source_of_file[rows["file"]]
        for source in np.unique(sources[times > 0]):
            one, here = self.sources[source], (sources == source) & (times > 0)
            one.kept += int(here.sum())
            one.validation += int(validation[here].sum())
            one.written += int(times[here].sum())
            one.characters += int(rows["characters"][here].sum(dtype=np.int64))
            one.tokens += int(rows["tokens"][here].sum(dtype=np.int64))
            one.tokens_written += int((rows["tokens"][here].astype(np.int64) * times[here]).sum())
            one.languages.update(each.decode() for each in rows["language"][here].tolist())
            one.lengths_after.update(length_class(each) for each in rows["characters"][here].tolist())

    def add_dropped(self, entry: dict) -> None:
        """entry: a line of the side file."""
        source = self._settings.sources.index(entry["source"])
        self.sources[source].dropped[entry["rule"]] += 1
        rule = self.rules.setdefault(entry["rule"], {"documents": 0, "first": []})
        rule["documents"] += 1
        if len(rule["first"]) < EXAMPLES:
            cut = "…" if len(entry["text"]) > SHOWN else ""
            rule["first"].append(entry | {"text": entry["text"][:SHOWN] + cut})
        if FROM_HERE_ON in entry.get("detail", "").partition(" (")[0]:
            self.damaged.append((entry["file"], entry["line"]))
        if "iconv" in entry.get("detail", ""):
            self.encoded.setdefault(entry["file"], f"{entry['file']}, line {entry['line']}: {entry['detail']}")
        if "kept" in entry:
            self.pairs[entry["source"], entry["kept"]["source"]] += 1

    @property
    def read(self) -> int:
        return sum(source.read for source in self.sources)

    @property
    def kept(self) -> int:
        return sum(source.kept for source in self.sources)

    def warnings(self) -> list[str]:
        """Damaged or wrongly encoded files, and sources that lose suspiciously much, copies and mixing apart."""
        found = [
            f"{file} is damaged from line {line} on, and nothing behind it was read" for file, line in self.damaged
        ]
        found += self.encoded.values()
        for name, one in zip(self._settings.sources, self.sources):
            by_rules = {rule: count for rule, count in one.dropped.items() if rule not in NOT_LOST}
            lost = sum(by_rules.values())
            if lost > MUCH * one.read:
                worst = max(by_rules, key=by_rules.get)
                text = f'{name} loses {lost / one.read:.0%} of its documents, most of them by "{worst}"'
                hint = (
                    "" if worst in NOT_JUDGED else f", and perhaps give --rules_for {quote(f'{name}=none')} (or code)"
                )
                found.append(f"{text}: look at the examples{hint}")
        return found

    def in_words(self) -> list[str]:
        """What the terminal says at the end."""
        units = "tokens" if self._settings.tokenizer_path else "bytes"
        lines = [counted(f"{self.read:,} documents in, {self.kept:,} kept, {self.read - self.kept:,} dropped")]
        for rule, found in sorted(self.rules.items(), key=lambda each: -each[1]["documents"]):
            lines.append(f"  {found['documents']:>9,}  {percent(found['documents'], self.read):>6}  {rule}")
        for name, one in zip(self._settings.sources, self.sources):
            lines.append(counted(f"{name}: {one.kept:,} of {one.read:,} documents kept, {one.tokens:,} {units}"))
        for form, epochs in self.epochs.items():
            passes = ", ".join(f"{name} {count:.2f}" for name, count in epochs.items())
            lines.append(f"passes over each source ({form}): {passes}")
        return lines + [f"warning: {each}" for each in self.warnings()]

    def as_json(self, files: list[str], others: list[str]) -> dict:
        """files: names of what was written; others: files in folders that nothing here reads."""
        settings = self._settings
        return {
            "settings": {
                "steps": settings.steps,
                "rules": dict(zip(settings.sources, settings.rules)),
                "threshold": settings.threshold,
                "personal": settings.personal,
                "keep_markdown": settings.keep_markdown,
                "against": settings.against,
                "tokens are": "tokens" if settings.tokenizer_path else "bytes of UTF-8",
                "val_ratio": settings.val_ratio,
            },
            "read": self.read,
            "kept": self.kept,
            "dropped": self.read - self.kept,
            "files": files,
            "sources": {name: _as_json(one) for name, one in zip(settings.sources, self.sources)},
            "rules": {
                rule: self._rule(rule) for rule in sorted(self.rules, key=lambda rule: -self.rules[rule]["documents"])
            },
            "duplicates": [
                {"dropped from": dropped, "kept in": kept, "documents": count}
                for (dropped, kept), count in self.pairs.most_common()
            ],
            "epochs": self.epochs,
            "warnings": self.warnings(),
            "files that are not read": others,
        }

    def _rule(self, rule: str) -> dict:
        found = self.rules[rule]
        return {"documents": found["documents"], "share": found["documents"] / self.read, **found}


NOT_JUDGED = ("unreadable", "empty", "nothing left after cleaning", "stands in a benchmark")  # --rules changes nothing
NOT_LOST = ("exact duplicate", "near-duplicate", "more than its weight")  # a copy is kept, or its weight left it out


def _as_json(source: SourceReport) -> dict:
    def plain(value):
        return dict(sorted(value.items())) if isinstance(value, Counter) else value

    return {name: plain(value) for name, value in vars(source).items()}
