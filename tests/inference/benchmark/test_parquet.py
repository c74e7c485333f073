"""Benchmarks are published as Parquet: the items are those of JSON lines, and hidden answers are refused.

The schemas are those of the data set cards on Hugging Face: a ClassLabel is an int64, a sequence of structs a struct of
lists.
"""

import json

import pyarrow
import pyarrow.parquet
import pytest

from inference.benchmark.tasks import read_tasks
from model.errors import SproutError

TEXT, TEXTS = pyarrow.string(), pyarrow.list_(pyarrow.string())
LISTED = pyarrow.struct([("text", TEXTS), ("label", TEXTS)])
ONE_BY_ONE = pyarrow.list_(pyarrow.struct([("text", TEXT), ("label", TEXT)]))
ABCD = {"A": "甲", "B": "乙", "C": "丙", "D": "丁"}
LETTERED = {"A": TEXT, "B": TEXT, "C": TEXT, "D": TEXT}


def arc(key: str, labels: str) -> dict:
    choices = {"text": [f"text {label}" for label in labels], "label": list(labels)}
    return {"id": "x", "question": "Hot?", "choices": choices, "answerKey": key}


def one_by_one(record: dict) -> dict:
    pairs = zip(*record["choices"].values())
    return record | {"choices": [{"text": text, "label": label} for text, label in pairs]}


MMLU = {"question": "Why?", "subject": "law", "choices": ["p", "q", "r", "s"]}
HELLASWAG = {"ind": 4, "activity_label": "Roof", "ctx_a": "A man is up.", "ctx_b": "he", "ctx": "A man is up. he"}
HELLASWAG |= {"endings": ["falls.", "sings.", "sits.", "runs."], "source_id": "s", "split": "val", "split_type": "x"}
PIQA = {"goal": "Boil", "sol1": "fire", "sol2": "ice"}
XCOPA = {"premise": "天黑了。", "choice1": "灯亮了。", "choice2": "他走了。", "question": "effect", "changed": False}
# name: (schema, rows, the same row without its answer)
PUBLISHED = {
    "mmlu": (
        {"question": TEXT, "subject": TEXT, "choices": TEXTS, "answer": pyarrow.int64()},
        [MMLU | {"answer": right} for right in (0, 3)],
        MMLU | {"answer": -1},
    ),
    "arc": (
        {"id": TEXT, "question": TEXT, "choices": LISTED, "answerKey": TEXT},
        [arc("C", "ABCD"), arc("4", "1234"), arc("E", "ABCDE"), arc("A", "ABC")],
        arc("", "ABCD"),
    ),
    "arc, a struct for each choice": (
        {"id": TEXT, "question": TEXT, "choices": ONE_BY_ONE, "answerKey": TEXT},
        [one_by_one(arc("2", "1234")), one_by_one(arc("B", "ABC"))],
        one_by_one(arc("", "ABCD")),
    ),
    "hellaswag": (
        dict.fromkeys(HELLASWAG, TEXT) | {"ind": pyarrow.int32(), "endings": TEXTS, "label": TEXT},
        [HELLASWAG | {"label": "3"}, HELLASWAG | {"label": "0", "ctx_b": ""}],
        HELLASWAG | {"label": ""},
    ),
    "piqa": (
        {"goal": TEXT, "sol1": TEXT, "sol2": TEXT, "label": pyarrow.int64()},
        [PIQA | {"label": right} for right in (1, 0)],
        PIQA | {"label": -1},
    ),
    "xcopa_zh": (
        dict.fromkeys(XCOPA, TEXT) | {"changed": pyarrow.bool_(), "label": pyarrow.int32(), "idx": pyarrow.int32()},
        [XCOPA | {"label": right, "idx": 1} for right in (1, 0)],
        XCOPA | {"label": -1, "idx": 1},
    ),
    "blimp": (
        {"sentence_good": TEXT, "sentence_bad": TEXT, "UID": TEXT, "pair_id": pyarrow.int32()},
        [{"sentence_good": "She sees.", "sentence_bad": "She see.", "UID": "x", "pair_id": 0}],
        None,
    ),
    "ceval": (
        {"id": pyarrow.int32(), "question": TEXT, **LETTERED, "answer": TEXT, "explanation": TEXT},
        [{"id": 0, "question": "谁？", **ABCD, "answer": right, "explanation": ""} for right in "DA"],
        {"id": 0, "question": "谁？", **ABCD, "answer": "", "explanation": ""},
    ),
    "cmmlu": (
        {"Question": TEXT, **LETTERED, "Answer": TEXT},
        [{"Question": "谁？", **ABCD, "Answer": right} for right in "BC"],
        {"Question": "谁？", **ABCD, "Answer": None},
    ),
    "gsm8k": (
        {"question": TEXT, "answer": TEXT},
        [{"question": "2+2?", "answer": "2+2 is <<2+2=4>>4.\n#### 4"}],
        {"question": "2+2?", "answer": ""},
    ),
}


@pytest.fixture
def write(tmp_path):
    def write(rows: list[dict], schema: dict | None, **columns) -> str:
        if schema is None:
            path = tmp_path / "law_val.jsonl"
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        else:
            path = tmp_path / "law_val.parquet"
            schema = pyarrow.schema(list((schema | columns).items()))
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema), path, row_group_size=1)
        return str(path)

    return write


def asked(path: str) -> list[tuple]:
    return [
        (task.name, entry.item, entry.context, entry.subject, entry.line)
        for task in read_tasks([path])
        for entry in task.entries
    ]


@pytest.mark.parametrize("name", PUBLISHED)
def test_parquet_holds_the_same_items_as_json_lines(write, name):
    schema, rows, _ = PUBLISHED[name]
    found = asked(write(rows, schema))
    assert found == asked(write(rows, None)) and found[0][0].split()[0] == name.split(",")[0]
    assert len(found) in (len(rows), 2 * len(rows))  # letters and texts


@pytest.mark.parametrize(("name", "right"), [("arc", [2, 3, 4, 0]), ("hellaswag", [3, 0]), ("piqa", [1, 0])])
def test_the_right_choice_is_the_one_that_is_named(write, name, right):
    schema, rows, _ = PUBLISHED[name]
    assert [item.right for _, item, *_ in asked(write(rows, schema))] == right


def test_labels_of_other_types_are_read_as_well(write):
    schema, rows, _ = PUBLISHED["mmlu"]
    whole = asked(write(rows, schema))
    assert asked(write(rows, schema, answer=pyarrow.int8())) == whole
    assert (
        asked(write([row | {"answer": float(row["answer"])} for row in rows], schema, answer=pyarrow.float64()))
        == whole
    )
    assert asked(write([row | {"answer": "ABCD"[row["answer"]]} for row in rows], schema, answer=TEXT)) == whole
    assert asked(write(rows, schema, question=pyarrow.large_string(), choices=pyarrow.large_list(TEXT))) == whole


def test_a_number_that_a_table_lacks_is_no_answer(write):
    rows = [{"question": "2+2?", "answer_number": 4.0}, {"question": "1+1?", "answer_number": float("nan")}]
    schema = {"question": TEXT, "answer_number": pyarrow.float64()}
    assert [item.answer for _, item, *_ in asked(write(rows[:1], schema))] == ["4"]
    with pytest.raises(SproutError, match="parquet:2: there is no number that is the answer"):
        read_tasks([write(rows, schema)])


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("name", [name for name, (_, _, hidden) in PUBLISHED.items() if hidden])
def test_an_item_without_its_answer_is_refused_and_not_counted_as_wrong(write, name, table):
    schema, rows, hidden = PUBLISHED[name]
    rows = [] if name == "gsm8k" else rows  # by whose answers alone the layout is known
    for unlabelled in (hidden, {key: None if value in ("", -1) else value for key, value in hidden.items()}):
        path = write([*rows, unlabelled], schema if table else None)
        with pytest.raises(SproutError, match=rf":{len(rows) + 1}: .* is withheld \(take a split with answers\)"):
            read_tasks([path])
