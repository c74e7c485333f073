"""Compare tokenizers on your own texts: figures, a picture and a JSON.

    python scripts/compare_tokenizers.py shipped out/tokenizer --data_path my_text.jsonl
    python scripts/compare_tokenizers.py shipped SmolLM2-135M-Instruct.Q4_1.gguf pretrain --data_path zh.jsonl en.jsonl

A tokenizer is `shipped`, the folder of one, or any weight that has one: a name in out/, a .pth, a GGUF file or a
Hugging Face folder. Texts are Chinese, English or other by their script and their words. See docs/tokenizer.md.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout as it stands

from dataset.command_line import positive_int
from model.errors import UsageError, on_one_line
from model.json_text import json_text
from training.stages.arguments import StageParser, run_main

LANGUAGES = {"zh": "Chinese", "en": "English", "other": "other"}
FEW = 0.01  # of all bytes; a language with less says little
LONGEST = 8
MEANING = {
    "bytes_per_token": "How much text a token stands for: higher is better, with fewer steps to read and to write.",
    "single_bytes": "Tokens that are one byte, such as a digit or a third of a Chinese character: where the share is"
    " large, the vocabulary does not know the language.",
    "unused": "Tokens that these texts never use: their rows of the embedding learn nothing from them.",
    "longest": "The longest tokens of the vocabulary, and how often these texts use them: stock phrases and rulers that"
    " never occur take the place of words.",
}


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    parser.add_argument("tokenizers", nargs="+", metavar="TOKENIZER", help="shipped, a folder, or a weight with one")
    parser.add_argument("--data_path", nargs="+", metavar="FILE", help="texts or chats (default: sample data)")
    parser.add_argument(
        "--sample_mb", type=positive_int, default=50, metavar="MB", help="at most so much text (%(default)s)"
    )
    parser.add_argument("--on_bad_line", choices=("stop", "skip"), default="stop", help="default %(default)s")
    parser.add_argument("--out_dir", default="out/tokenizers", help="for picture and JSON (%(default)s)")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_arguments(argv)

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from dataset.corpus import Corpus, whole_sources
    from dataset.sample.files import sample_file
    from inference.replaced import has_keys, refuse_strangers
    from model.disk import sweep_temporaries, write_atomically
    from model.files.writable import refuse_unwritable
    from model.text.tokenizer import text_batches
    from training.report.tokenizers import draw

    out_dir = Path(args.out_dir)
    figures_file, picture = out_dir / "comparison.json", out_dir / "comparison.svg"
    refuse_unwritable(out_dir)
    is_ours = has_keys(figures_file, "bytes", "meaning", "tokenizers")
    for path in (figures_file, picture):  # a picture is known by the figures beside it
        refuse_strangers("--out_dir", path, is_ours, "a result of scripts/compare_tokenizers.py")
    sources = whole_sources("--data_path", args.data_path or [sample_file("pretrain")])
    usages = usages_of(args.tokenizers)
    corpus = Corpus(sources, args.on_bad_line, out_dir / "bad_lines.jsonl")
    if corpus.bad_lines:
        print(corpus.left_out())
    for batch in text_batches(corpus.texts("comparing on", args.sample_mb * 10**6)):
        by_language = {}
        for text in batch:
            by_language.setdefault(language_of(text), []).append(text)
        for usage in usages.values():
            for language, texts in by_language.items():
                usage.add(language, texts)

    bytes_of = next(iter(usages.values())).bytes
    size = {name: bytes_of[name] for name in LANGUAGES if bytes_of[name] >= FEW * bytes_of.total()}
    report = {name: figures(usage, size) for name, usage in usages.items()}
    content = {"bytes": size, "meaning": MEANING, "tokenizers": report}
    text = json_text(content, indent=1) + "\n"
    sweep_temporaries(out_dir)
    write_atomically(figures_file, lambda file: file.write(text.encode("utf-8")))
    draw(report, {language: LANGUAGES[language] for language in size}, MEANING, picture)
    print("\n".join(lines_of(report, size)))
    print(f"wrote {picture} (open it in a browser) and {figures_file}")


def usages_of(sources: list[str]) -> dict:
    """An empty `Usage` of each tokenizer, by a short name. Raises `UsageError` for one that is named twice."""
    from inference.missing import MissingWeightError
    from inference.weights import find_weight
    from model.files.tokenizer_of import tokenizer_of_weight
    from model.text.tokenizer import DEFAULT_FOLDER, Tokenizer
    from model.text.usage import Usage

    usages, taken = {}, set()
    for source in sources:
        if source == "shipped":
            refuse_second(taken, source, DEFAULT_FOLDER.resolve())
            usages[source] = Usage(Tokenizer.load())
        else:
            try:
                path = find_weight(source, "out", chosen_by="a path", say=print)
            except MissingWeightError as error:
                raise UsageError(f"{error}. A tokenizer: shipped, its folder, or a weight that has one") from None
            refuse_second(taken, path, Path(path).resolve())
            usages[unlike(usages, path)] = Usage(tokenizer_of_weight(path))
    return usages


def refuse_second(taken: set, source: str, place: str | Path) -> None:
    """Adds `place` to those taken. Raises `UsageError` where it is one of them, by whatever name."""
    if place in taken:
        raise UsageError(f"{source} is named twice: name each tokenizer once")
    taken.add(place)


def unlike(names, path: str) -> str:
    """A short name for a tokenizer, that none of the others has."""
    from inference.weights import name_of  # not before the arguments, so that --help answers at once

    short = on_one_line(name_of(Path(path).resolve()))  # a picture has no place for a name that is not UTF-8
    return on_one_line(path) if short in names else short


def language_of(text: str) -> str:
    from dataset.prepare.judging.language import is_english, script

    found = script(text)
    if found == "han":
        return "zh"
    return "en" if found == "latin" and is_english(text) else "other"


def figures(usage, languages) -> dict:
    """What is said of one tokenizer; shares are of 1."""
    return {
        "vocabulary": usage.size,
        "bytes_per_token": {language: round(usage.bytes_per_token(language), 4) for language in languages},
        "single_bytes": {language: round(usage.single_bytes(language), 4) for language in languages},
        "unused": usage.unused(),
        "longest": [{"text": text, "bytes": length, "used": used} for text, length, used in usage.longest(LONGEST)],
    }


def lines_of(report: dict, size: dict) -> list[str]:
    """What the terminal shows: a sentence and a row for each figure, a column for each tokenizer."""
    wide = max(10, *map(len, report)) + 2
    rows = [" " * 22 + "".join(f"{name:>{wide}}" for name in report)]
    for key, title, shown in (("bytes_per_token", "bytes per token", ".3f"), ("single_bytes", "single bytes", ".1%")):
        rows.append(MEANING[key])
        for language in size:
            what = f"{title}, {language}"
            rows.append(f"{what:<22}" + "".join(f"{each[key][language]:>{wide}{shown}}" for each in report.values()))
    rows.append(MEANING["unused"])
    rows.append(f"{'vocabulary for text':<22}" + "".join(f"{each['vocabulary']:>{wide},}" for each in report.values()))
    rows.append(f"{'unused':<22}" + "".join(f"{each['unused']:>{wide},}" for each in report.values()))
    rows.append(MEANING["longest"])
    for name, each in report.items():
        rows.append(f"{name}: " + ", ".join(f"{one['text'][:40]!r} ({one['used']:,})" for one in each["longest"][:5]))
    return [", ".join(f"{count / 1e6:,.1f} MB {language}" for language, count in size.items()), *rows]


if __name__ == "__main__":
    run_main(main)
