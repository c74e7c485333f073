"""Is a tokenizer any good? How many bytes a token of it stands for, and whether texts come back from their tokens."""

from collections.abc import Iterable
from dataclasses import dataclass

from model.text.tokenizer import Tokenizer, text_batches

# Short texts of our own, in no training data, to compare tokenizers by.
SAMPLES = {
    "Chinese": "清晨的集市刚刚热闹起来，卖豆腐的老人把摊子支在桥头，一边招呼客人，一边和邻居谈论昨夜的大雨。"
    "河水涨了不少，孩子们趴在栏杆上，数着漂过的树叶。有人说，今年的收成应该不错；也有人担心，要是雨再这样下"
    "下去，山路就不好走了。科学家们发现，这种植物能够在缺水的环境中生存很长时间，因为它的根可以伸到地下十米。",
    "English": "The market had only just woken when the old man set up his stall at the end of the bridge. "
    "He greeted his customers and talked with his neighbours about last night's rain. The river had risen, "
    "and children leaned over the rail to count the leaves that drifted by. Scientists have found that this "
    "plant survives for a long time without water, because its roots reach ten metres into the ground.",
    "code": "def moving_average(values, width):\n    if width < 1:\n        raise ValueError('too narrow')\n"
    "    total, result = 0.0, []\n    for index, value in enumerate(values):\n        total += value\n"
    "        if index >= width:\n            total -= values[index - width]\n"
    "        result.append(total / min(index + 1, width))\n    return result\n",
    "digits": "3.14159, 2.71828 and 1.41421; on 2024-05-17 at 08:30 there were 1,048,576 rows, 99.97% of "
    "them valid; 12 * 34 = 408, 7/8 = 0.875, +49 151 2345678",
}


def bytes_per_token(tokenizer: Tokenizer, text: str) -> float:
    return len(text.encode("utf-8")) / len(tokenizer.encode(text))


def comparison(tokenizers: dict[str, Tokenizer]) -> str:
    """A table of `bytes_per_token`: a line for each of `SAMPLES`, a column for each tokenizer by name."""
    lines = [f"bytes per token of {len(SAMPLES)} short samples (scripts/compare_tokenizers.py takes texts of yours)"]
    lines.append(" " * 16 + "".join(f"{name:>10}" for name in tokenizers))
    for sample, text in SAMPLES.items():
        numbers = "".join(f"{bytes_per_token(tokenizer, text):10.2f}" for tokenizer in tokenizers.values())
        lines.append(f"{sample:<16}{numbers}")
    return "\n".join(lines)


def effect_on_english(before: Tokenizer, after: Tokenizer) -> str:
    """What more tokens change for English text: the tokens of the sample, and which new tokens ASCII text can have."""
    old, new = before.encode(SAMPLES["English"]), after.encode(SAMPLES["English"])
    ids = "the same ids" if old == new else "other ids"
    said = f"English sample: {len(old)} tokens before, {len(new)} after, {ids}"
    added = [after.decode([index], skip_special_tokens=False) for index in range(before.vocab_size, after.vocab_size)]
    ascii_tokens = [repr(text) for text in added if text.isascii()]
    if not ascii_tokens:
        return f"{said}; no new token is ASCII, so all ASCII text keeps its ids"
    shown = ", ".join(ascii_tokens[:3])
    return f"{said}; ASCII text keeps its ids unless one of {len(ascii_tokens):,} new tokens is in it, such as {shown}"


@dataclass(frozen=True)
class RoundTrip:
    """What became of texts that were encoded and decoded again."""

    texts: int
    bytes: int
    tokens: int
    changed: int  # texts that did not come back as they were
    first_changed: str | None


def round_trip(tokenizer: Tokenizer, texts: Iterable[str]) -> RoundTrip:
    count = size = tokens = changed = 0
    first = None
    for batch in text_batches(texts):
        encoded = tokenizer.encode_batch(batch)
        count += len(batch)
        tokens += sum(map(len, encoded))
        size += sum(len(text.encode("utf-8")) for text in batch)
        decoded = tokenizer.backend.decode_batch(encoded, skip_special_tokens=False)  # on all cores
        for text, back in zip(batch, decoded, strict=True):
            if text != back:
                changed += 1
                first = first or text
    return RoundTrip(count, size, tokens, changed, first)
