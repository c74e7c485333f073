import gzip
import json
from itertools import pairwise

import pytest

from dataset.command_line import Source
from dataset.corpus import Corpus, texts_of
from dataset.records.formats import BadRecord
from dataset.records.kinds import KINDS
from dataset.words import count_corpus
from model.errors import SproutError, UsageError


def write(path, *records):
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("record", "texts"),
    [
        ({"text": "a", "id": "x17"}, ["a"]),
        (
            {"conversations": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
            ["a", "b"],
        ),
        ({"messages": [{"role": "system", "content": "", "tools": "[t]"}], "tools": None}, ["[t]"]),
        ({"conversations": [{"from": "human", "value": "a"}]}, ["a"]),
        ({"instruction": "a", "input": " ", "output": "b", "history": [["c", "d"]]}, ["a", "b", "c", "d"]),
        (
            {"prompt": "a", "chosen": [{"role": "assistant", "content": "b"}], "rejected": "c"},
            ["a", "b", "c"],
        ),
        ({"prompt": "a", "response": "b", "score": 3}, ["a", "b"]),
        ({"question": "a", "answer": "b", "source": "web"}, ["a", "b"]),
        ({"content": [{"Text": "a"}]}, ["a"]),
        ({"conversation": [{"human": "a", "assistant": "b"}]}, ["a", "b"]),
        ({"query": "a", "response": "b", "rejected_response": "c"}, ["a", "b", "c"]),
        ({"instruction": "a", "context": "b", "response": "c"}, ["a", "b", "c"]),
        ({"system_prompt": "a", "messages": [{"content": "b", "thinking": "c"}]}, ["a", "b", "c"]),
        (
            {"conversations": '[{"from": "human", "value": "a"}]', "chosen": '{"role": "user", "content": "b"}'},
            ["a", "b"],
        ),
        ({"problem": "a", "response": '["b"]'}, ["a", '["b"]']),
        ({"url": "a", "text": 3}, []),
    ],
)
def test_every_format_gives_its_texts_and_nothing_else(record, texts):
    assert list(texts_of(record)) == texts


@pytest.mark.parametrize("name", sorted({key for kind in KINDS for one in kind.formats for key in one.keys}))
def test_the_keys_of_all_formats_may_hold_texts(name):
    texts = list(texts_of({name: "a"})) + list(texts_of({name: '[{"role": "user", "content": "b"}]'}))
    about = name in ("label", "kto_tag", "score", "choices")
    assert about or "a" in texts or "b" in texts


@pytest.mark.parametrize("text", ["half \ud800", "NUL \0"])
def test_strings_that_are_no_text_are_bad(text):
    with pytest.raises(BadRecord):
        list(texts_of({"conversations": [{"value": text}]}))


def test_a_corpus_counts_and_gives_everything_as_often_as_asked(tmp_path):
    plain = write(tmp_path / "a.jsonl", {"text": "一"}, {"messages": [{"content": "bc"}, {"content": "d"}]})
    (tmp_path / "b.txt").write_text("e\nf\n\ng\n")
    with gzip.open(tmp_path / "c.jsonl.gz", "wt") as file:
        file.write('{"text": "h"}')
    sources = [Source(plain), Source(tmp_path / "b.txt"), Source(tmp_path / "c.jsonl.gz")]
    corpus = Corpus(sources, "stop", tmp_path / "bad.jsonl")
    assert corpus.documents == [2, 2, 1]
    assert corpus.bytes == [6, 4, 1]
    assert list(corpus.texts("reading")) == list(corpus.texts("reading")) == ["一", "bc", "d", "e\nf", "g", "h"]
    assert list(corpus.sample(10**6)) == list(corpus.texts("reading"))


def test_a_sample_follows_the_weights(tmp_path):
    often = write(tmp_path / "often.jsonl", *({"text": f"o{i}"} for i in range(3)))
    rarely = write(tmp_path / "rarely.jsonl", *({"text": f"r{i}"} for i in range(10)))
    corpus = Corpus([Source(often, 2.0), Source(rarely, 0.3)], "stop", tmp_path / "bad.jsonl")
    sample = list(corpus.sample(10**6))
    assert sample[:6] == ["o0", "o0", "o1", "o1", "o2", "o2"]
    assert sample[6:] == ["r3", "r6", "r9"]


def test_a_weight_beyond_sense_is_refused(tmp_path):
    path = write(tmp_path / "a.jsonl", {"text": "a"})
    Corpus([Source(path, 1000)], "stop", tmp_path / "bad.jsonl")
    with pytest.raises(UsageError, match=r"a.jsonl: a weight of 1e\+30 is more than 1,000 times: give less"):
        Corpus([Source(path, 1e30)], "stop", tmp_path / "bad.jsonl")


def test_a_sample_is_no_larger_than_asked_and_spread_over_all_files(tmp_path):
    paths = [write(tmp_path / f"{name}.jsonl", *({"text": f"{name}{i:03}"} for i in range(1000))) for name in "ab"]
    corpus = Corpus([Source(path) for path in paths], "stop", tmp_path / "bad.jsonl")
    assert corpus.share(800) == pytest.approx(0.1)
    sample = list(corpus.sample(800))
    assert 780 <= sum(map(len, sample)) <= 800
    for name in "ab":
        numbers = [int(text[1:]) for text in sample if text[0] == name]
        assert len(numbers) in (99, 100)
        assert all(9 <= b - a <= 11 for a, b in pairwise(numbers))


def test_files_of_one_document_are_sampled_as_one_file_would_be(tmp_path):
    paths = [write(tmp_path / f"{i}.jsonl", {"text": f"{i:04}"}) for i in range(10)]
    corpus = Corpus([Source(path) for path in paths], "stop", tmp_path / "bad.jsonl")
    assert list(corpus.sample(20)) == ["0001", "0003", "0005", "0007", "0009"]
    assert list(corpus.texts("checking", 8)) == ["0004", "0009"]
    assert list(corpus.sample(19)) == ["0002", "0004", "0006", "0008"]
    assert corpus.taken(19) == 0.4 and corpus.share(19) == 0.475


def test_less_than_a_document_is_refused_where_it_is_learnt_from(tmp_path):
    path = write(tmp_path / "a.jsonl", {"text": "long " * 9})
    corpus = Corpus([Source(path)], "stop", tmp_path / "bad.jsonl")
    with pytest.raises(SproutError, match="less than one document, so nothing would be learnt: give a larger --sample"):
        list(corpus.sample(20))
    assert list(corpus.texts("checking", 20)) == ["long " * 9]
    with pytest.raises(UsageError, match=r"a.jsonl:0.9 takes less than one document of 1: give a larger share"):
        Corpus([Source(path, 0.9)], "stop", tmp_path / "bad.jsonl")


def test_a_share_takes_as_many_as_it_says_despite_rounding(tmp_path):
    path = write(tmp_path / "a.jsonl", *({"text": "a"} for _ in range(100)))  # 100 * 0.29 is 28.999999999999996
    assert len(list(Corpus([Source(path, 0.29)], "stop", tmp_path / "bad.jsonl").sample(10**6))) == 29


def test_words_that_do_not_fit_are_counted_in_as_many_files_as_do(tmp_path):
    paths = [write(tmp_path / f"{i}.jsonl", {"text": " ".join([f"word{chr(97 + i)}"] * 4)}) for i in range(10)]
    corpus = Corpus([Source(path) for path in paths], "stop", tmp_path / "bad.jsonl")
    words, size = count_corpus(corpus, 10**6, max_words=12)  # each file has two words of its own
    assert words and size < sum(corpus.bytes)
    assert words.total() == 4 * 10 * corpus.taken(size)


def test_bad_lines_stop_or_are_counted_and_listed(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "good"}\nnot JSON\n{"url": "x"}\n{"text": "\\ud800"}\n{"text": "fine"}\n')
    with pytest.raises(SproutError, match=r"a\.jsonl:2: .*--on_bad_line skip"):
        Corpus([Source(path)], "stop", tmp_path / "bad.jsonl")
    corpus = Corpus([Source(path)], "skip", tmp_path / "out" / "bad.jsonl")
    assert corpus.documents == [2] and corpus.bad_lines.total() == 3
    assert list(corpus.texts("reading")) == list(corpus.sample(99)) == ["good", "fine"]
    assert corpus.bad_lines.total() == 3
    listed = [json.loads(line) for line in (tmp_path / "out" / "bad.jsonl").read_text().splitlines()]
    assert [entry["line"] for entry in listed] == [2, 3, 4]
    assert set(listed[0]) == {"file", "line", "reason", "detail"}


def test_a_file_without_text_is_an_error(tmp_path):
    path = write(tmp_path / "a.jsonl", {"url": "x"})
    with pytest.raises(SproutError, match="holds no text"):
        Corpus([Source(path)], "skip", tmp_path / "bad.jsonl")
