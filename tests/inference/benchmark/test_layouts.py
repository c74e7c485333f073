"""Layouts are seen from the keys of a file, and every layout is asked as lm-eval's task of it asks."""

import csv
import json

import pyarrow
import pyarrow.parquet
import pytest

from inference.benchmark.tasks import read_tasks
from model.errors import SproutError, UsageError

ABCD = {"A": "甲", "B": "乙", "C": "丙", "D": "丁"}
# (layout and form, a record as the original data set has it, context, answers or None, the place of the right one)
CASES = [
    ("blimp", {"sentence_good": "She sees.", "sentence_bad": "She see.", "UID": "x"}, "", ("She sees.", "She see."), 0),
    (
        "hellaswag",
        {
            "activity_label": "Roof",
            "ctx_a": "A man is [step] up.",
            "ctx_b": "he",
            "endings": ["falls [title] down.", "sings."],
            "label": "1",
        },
        "Roof: A man is up. He",
        ("falls. down.", "sings."),
        1,
    ),
    (
        "piqa",
        {"goal": "Boil", "sol1": "fire", "sol2": "ice", "label": 0},
        "Question: Boil\nAnswer:",
        ("fire", "ice"),
        0,
    ),
    (
        "arc",
        {"id": "1", "question": "Hot?", "choices": {"text": ["sun", "ice"], "label": ["1", "2"]}, "answerKey": "2"},
        "Question: Hot?\nAnswer:",
        ("sun", "ice"),
        1,
    ),
    (
        "xcopa_zh",
        {
            "premise": "天黑了。",
            "choice1": "A灯亮了。",
            "choice2": "他走了。",
            "question": "effect",
            "label": 1,
            "changed": False,
        },
        "天黑了 所以",
        ("a灯亮了。", "他走了。"),
        1,
    ),
    (
        "copa",
        {"premise": "It rained.", "choice1": "I ran.", "choice2": "I sat.", "question": "cause", "label": 0},
        "It rained because",
        ("i ran.", "i sat."),
        0,
    ),
    (
        "mmlu letters",
        {"question": " Why? ", "subject": "world_history", "choices": ["p", "q", "r", "s"], "answer": 2},
        "The following are multiple choice questions (with answers) about world history.\n\n"
        "Why?\nA. p\nB. q\nC. r\nD. s\nAnswer:",
        tuple("ABCD"),
        2,
    ),
    (
        "mmlu texts",
        {"question": " Why? ", "subject": "world_history", "choices": ["p", "q", "r", "s"], "answer": 2},
        "The following are questions (with answers) about world history.\n\nQuestion: Why?\nAnswer:",
        tuple("pqrs"),
        2,
    ),
    (
        "ceval letters",
        {"id": 0, "question": "谁？", **ABCD, "answer": "D", "explanation": ""},
        "以下是中国关于法学的单项选择题，请选出其中的正确答案。\n\n谁？\nA. 甲\nB. 乙\nC. 丙\nD. 丁\n答案：",
        tuple("ABCD"),
        3,
    ),
    (
        "cmmlu letters",
        {"Question": "谁？", **ABCD, "Answer": "B"},
        "以下是关于大学法律的单项选择题，请直接给出正确答案的选项。\n\n谁？\nA. 甲\nB. 乙\nC. 丙\nD. 丁\n答案：",
        tuple("ABCD"),
        1,
    ),
    ("cmmlu texts", {"Question": "谁？", **ABCD, "Answer": "B"}, "谁？\n答案：", tuple("甲乙丙丁"), 1),
    (
        "gaokao letters",
        {"question": "谁？\nA．甲 B．乙\nC．丙 D．丁\n", "answer": "C"},
        "谁？\nA．甲 B．乙\nC．丙 D．丁\n答案：",
        tuple("ABCD"),
        2,
    ),
    (
        "gaokao texts",
        {"question": "谁？\nA．甲 B．乙\nC．丙 D．丁\n", "answer": "C"},
        "谁？\n答案：",
        tuple("甲乙丙丁"),
        2,
    ),
    (
        "gaokao texts",
        {"question": "谁？\nＡ．甲 Ｂ．乙\nＣ．丙 Ｄ．丁\n", "answer": "Ｃ "},
        "谁？\n答案：",
        tuple("甲乙丙丁"),
        2,
    ),
    ("gsm8k", {"question": "2+2?", "answer": "so\n#### 4"}, "Question: 2+2?\nAnswer:", (), 0),
    ("mgsm_zh", {"question": "几？", "answer": None, "answer_number": 4}, "问题： 几？\n逐步解答:", (), 0),
    ("mgsm_en", {"question": "2?", "answer": None, "answer_number": 4}, "Question: 2?\nStep-by-Step Answer:", (), 0),
    ("short_answers", {"question": "谁？", "answer": "我"}, "问题：谁？\n答案：", (), 0),
    ("text", {"text": "Once."}, "", (), 0),
]
FILES = {"ceval letters": "law_val.jsonl", "cmmlu letters": "college_law.jsonl"}


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(("name", "record", "context", "choices", "right"), CASES, ids=[case[0] for case in CASES])
def test_layout_is_recognised_and_asked_as_lm_eval_asks(tmp_path, name, record, context, choices, right):
    tasks = read_tasks([write(tmp_path / FILES.get(name, "data.jsonl"), record)])
    task = {task.name: task for task in tasks}[name]
    (entry,) = task.entries
    assert (entry.context, entry.item.choices, entry.item.right) == (context, choices, right)


def test_options_are_found_where_no_blank_stands_before_them(tmp_path):
    record = {"question": "这反映了（）A．加强B．重农C. 发展4D、瓦解", "answer": "C"}
    letters, texts = read_tasks([write(tmp_path / "data.jsonl", record)])
    (entry,) = texts.entries
    assert (entry.context, entry.item.choices) == ("这反映了（）\n答案：", ("加强", "重农", "发展4", "瓦解"))
    assert letters.entries[0].item.right == entry.item.right == 2 and texts.left_out == 0


def test_files_of_one_layout_are_one_task_and_are_limited_each(tmp_path):
    record = {"question": "A. 没有选项", "answer": "A"}
    paths = [write(tmp_path / f"{name}.jsonl", *[record] * 3) for name in "ab"]
    (letters,) = read_tasks(paths, limit=2, shots=0)
    assert [(entry.path, entry.line) for entry in letters.entries] == [
        (path, line) for path in paths for line in (1, 2)
    ]
    mixed = write(tmp_path / "c.jsonl", record, {"question": "谁？\nA．甲 B．乙\nC．丙 D．丁", "answer": "C"})
    letters, texts = read_tasks([*paths, mixed])
    assert (len(letters.entries), letters.left_out, len(texts.entries), texts.left_out) == (8, 0, 1, 7)


@pytest.mark.parametrize(
    "name, subject",
    [
        ("high_school_physics.jsonl", "高中物理"),
        ("high_school_physics_dev.jsonl", "高中物理"),
        ("law/val.jsonl", "法学"),
        ("logic/law.jsonl", "法学"),
        ("my_law.jsonl", None),
    ],
)
def test_the_subject_is_that_of_the_file_or_of_its_folder(tmp_path, name, subject):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    task, _ = read_tasks([write(tmp_path / name, {"id": 0, "question": "谁？", **ABCD, "answer": "D"})])
    about = f"以下是中国关于{subject}的单项选择题，请选出其中的正确答案。\n\n" if subject else ""
    assert task.entries[0].context == f"{about}谁？\nA. 甲\nB. 乙\nC. 丙\nD. 丁\n答案："


@pytest.mark.parametrize(
    "record, right",
    [
        ({"premise": "It rained.", "choices": ["I ran.", "I sat."], "question": "effect", "answer": 1}, 1),
        ({"goal": "x", "sol1": "a", "sol2": "b", "label": " 1 "}, 1),
        ({"question": "?", "choices": list("pqrs"), "answer": "2"}, 2),
        ({"Question": "?", **ABCD, "Answer": " C "}, 2),
    ],
)
def test_other_spellings_of_the_right_choice(tmp_path, record, right):
    tasks = read_tasks([write(tmp_path / "data.jsonl", record)])
    assert {entry.item.right for task in tasks for entry in task.entries} == {right}


def test_a_name_of_another_language_makes_no_english_question_foreign(tmp_path):
    record = {"question": "How far is Los Angeles?", "answer_number": 4}
    (task,) = read_tasks([write(tmp_path / "data.jsonl", record)])
    assert task.name == "mgsm_en"


@pytest.mark.parametrize("number", [5, 5.0, " 5.00", "+5", "-5", "$-5", "5%"])
def test_a_number_is_taken_for_an_answer_however_it_is_written(tmp_path, number):
    (task,) = read_tasks([write(tmp_path / "data.jsonl", {"question": "How many?", "answer_number": number})])
    assert task.form.grades["flexible"]("It is 5", task.entries[0].item.answer)


def test_minus_one_may_be_an_answer(tmp_path):
    (task,) = read_tasks([write(tmp_path / "data.jsonl", {"question": "3 - 4?", "answer": "-1"})])
    assert task.entries[0].item.answer == "-1"


def test_a_table_is_read_as_lines_of_json_are(tmp_path):
    record = {"question": "Hot?", "choices": {"text": ["sun", "ice"], "label": ["A", "B"]}, "answerKey": "A"}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([record]), tmp_path / "arc.parquet")
    with open(tmp_path / "agronomy.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["", "Question", *"ABCD", "Answer"], [0, "谁？", "1", "2", "3", "4", "B"]])
    arc, letters, texts = read_tasks([str(tmp_path / "arc.parquet"), str(tmp_path / "agronomy.csv")])
    assert arc.entries[0].item.choices == ("sun", "ice")
    assert letters.entries[0].context.startswith("以下是关于农学的") and texts.entries[0].item.choices == tuple("1234")


def test_shots_stand_before_an_item_by_subject(tmp_path):
    shot = {"id": 0, "question": "几？", **ABCD, "answer": "A"}
    asked = write(tmp_path / "law_val.jsonl", {"id": 0, "question": "谁？", **ABCD, "answer": "D"})
    examples = (
        write(tmp_path / "law_dev.jsonl", shot, shot | {"question": "三？"}),
        write(tmp_path / "logic_dev.jsonl", shot),
    )
    letters, texts = read_tasks([asked], examples[:1], shots=1)
    options = "\nA. 甲\nB. 乙\nC. 丙\nD. 丁\n答案："
    about = "以下是中国关于法学的单项选择题，请选出其中的正确答案。\n\n"
    assert letters.entries[0].context == f"{about}几？{options} A\n\n谁？{options}"
    assert texts.entries[0].context == "几？\n答案：甲\n\n谁？\n答案："
    both, _ = read_tasks([asked], examples)
    assert "三？" in both.entries[0].context and both.entries[0].context.count("几？") == 1
    assert [(task.shots, task.entries[0].shots) for task in read_tasks([asked], examples)] == [(5, 2)] * 2
    with pytest.raises(UsageError, match="--shots 3 are more than the 2 in --shots_path of ceval letters, law"):
        read_tasks([asked], examples, shots=3)
    with pytest.raises(UsageError, match="--shots 1 are more than the 0 in --shots_path of ceval letters, law"):
        read_tasks([asked], examples[1:], shots=1)
    with pytest.raises(UsageError, match="are the same file"):
        read_tasks([asked, f"{tmp_path}/./law_val.jsonl"])
    with pytest.raises(UsageError, match="would be shown their own answers"):
        read_tasks([asked], [f"{tmp_path}/./law_val.jsonl"])
    with pytest.raises(UsageError, match="give it by --shots_path"):
        read_tasks([asked], shots=2)
    with pytest.raises(UsageError, match="holds gsm8k, which no --data_path holds"):
        read_tasks([asked], [write(tmp_path / "g.jsonl", {"question": "2?", "answer": "#### 2"})])


RECORDS = {name: record for name, record, *_ in reversed(CASES)}  # the first one of each name
WHY = {"question": " Why? ", "choices": ["p", "q", "r", "s"], "answer": 2}
ZH = {"question": "问题：几？", "answer": "逐步解答: 一加一。答案是 2。", "answer_number": 2}
EN = {"question": "Question: 2?", "answer": "Step-by-Step Answer: 1 + 1. The answer is 2.", "answer_number": 2}


@pytest.mark.parametrize(
    ("name", "record", "shown", "answer", "own"),
    [
        ("blimp", RECORDS["blimp"], " She sees.", "She sees.", " She sees."),
        ("hellaswag", RECORDS["hellaswag"], "Roof: A man is up. He sings.", "sings.", "Roof: A man is up. He sings."),
        ("piqa", RECORDS["piqa"], "Question: Boil\nAnswer: fire", "fire", "Boil fire"),
        ("arc", RECORDS["arc"], "Question: Hot?\nAnswer: ice", "ice", "Hot? ice"),
        ("xcopa_zh", RECORDS["xcopa_zh"], "天黑了 所以 他走了。", "他走了。", "天黑了。 他走了。"),
        ("copa", RECORDS["copa"], "It rained because i ran.", "i ran.", "It rained. I ran."),
        ("mmlu letters", WHY, "Why?\nA. p\nB. q\nC. r\nD. s\nAnswer: C", "C", "Why? r"),
        ("mmlu texts", WHY, "Question: Why?\nAnswer: r", "r", "Why? r"),
        ("cmmlu texts", RECORDS["cmmlu texts"], "谁？\n答案：乙", "乙", "谁？ 乙"),
        ("gaokao texts", RECORDS["gaokao texts"], "谁？\n答案：丙", "丙", "谁？\nA．甲 B．乙\nC．丙 D．丁 丙"),
        ("gsm8k", RECORDS["gsm8k"], "Question: 2+2?\nAnswer: so\n#### 4", "so\n#### 4", "2+2? so\n#### 4"),
        ("mgsm_zh", ZH, "问题：几？\n逐步解答: 一加一。答案是 2。", "2", "问题：几？"),
        ("mgsm_en", EN, "Question: 2?\nStep-by-Step Answer: 1 + 1. The answer is 2.", "2", "Question: 2?"),
        ("mgsm_zh", ZH | {"answer": "逐步解答：一加一。"}, "问题：几？\n逐步解答: 一加一。", "2", "问题：几？"),
        (
            "mgsm_zh",
            {"question": "几？", "answer": "两个。", "final": "2.0"},
            "问题： 几？\n逐步解答: 两个。",
            "2",
            "几？",
        ),
        ("short_answers", {"question": "谁？", "answer": "我"}, "问题：谁？\n答案：我", "我", "谁？ 我"),
        ("short_answers", {"question": "Who?", "answer": "me"}, "Question: Who?\nAnswer: me", "me", "Who? me"),
    ],
)
def test_an_example_shows_its_answer(tmp_path, name, record, shown, answer, own):
    files = [write(tmp_path / f"{part}.jsonl", record) for part in ("asked", "shots")]
    (bare,) = {task.name: task for task in read_tasks(files[:1])}[name].entries
    (entry,) = {task.name: task for task in read_tasks(files[:1], files[1:])}[name].entries
    assert entry.context == f"{shown}\n\n{bare.context}" and shown.startswith(bare.context)
    assert (entry.item.answer, entry.item.own) == (answer, own)


def test_as_many_examples_as_are_usual_or_wanted_and_no_more(tmp_path):
    asked = [write(tmp_path / "zh.jsonl", RECORDS["mgsm_zh"]), write(tmp_path / "gsm8k.jsonl", RECORDS["gsm8k"])]
    shots = [write(tmp_path / "z.jsonl", *[ZH] * 9), write(tmp_path / "g.jsonl", *[RECORDS["gsm8k"]] * 9)]
    for given, counts in ((None, [8, 5]), (0, [0, 0]), (9, [9, 9])):
        entries = [task.entries[0] for task in read_tasks(asked, shots, given, limit=1)]
        assert [entry.shots for entry in entries] == counts
        assert [entry.context.count("答案是 2") + entry.context.count("#### 4") for entry in entries] == counts


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([{"a": 1}], "no benchmark has the keys a: the known ones are blimp"),
        ([{"goal": "x", "sol1": "a", "sol2": "b", "label": -1}], "is withheld \\(take a split with answers\\)"),
        ([{"goal": "x", "sol1": "a", "sol2": "b", "label": "-1"}], "is withheld \\(take a split with answers\\)"),
        *(
            ([{"goal": "x", "sol1": "a", "sol2": "b", "label": wrong}], "none of 0 to 1 \\(count from 0\\)")
            for wrong in (2, -2, True, 0.5, "A", [1])
        ),
        ([{"Question": "?", **ABCD, "Answer": "a"}], ":1: the right choice under .* is none of A to D"),
        ([{"activity_label": "a", "ctx_a": "b", "endings": ["c"], "label": 0}], "has 1 texts, not two or more"),
        ([{"question": "?", "choices": ["a", "b", "c"], "answer": 0}], "has 3 texts, not 4"),
        ([{"question": "几？", "answer": 5, "answer_number": 4}], '"answer" is not a string'),
        ([{"activity_label": "a", "ctx_a": "b", "endings": ["c", "[x]"], "label": 0}], "a choice is empty"),
        (
            [{"question": "?", "choices": {"text": ["a", "b"], "label": ["A", "A"]}, "answerKey": "A"}],
            "none of the labels, or several",
        ),
        ([{"goal": "x", "sol1": "a", "sol2": "b", "label": "9" * 5000}], ":1: .*none of 0 to 1"),
        ([{"text": "a"}, {"text": "\ud800"}], 'data.jsonl:2: "text" contains half a surrogate pair'),
        (
            [{"question": "?", "choices": ["a", "b", "c", "\ud800"], "answer": 0}],
            'data.jsonl:1: "choices" contains half a surrogate pair',
        ),
        ([{"question": "卵は何個ですか？", "answer_number": 18}], "mgsm_zh \\(question in Chinese, answer_number\\)"),
        ([{"question": "Wie viele Eier?", "answer_number": 18}], "mgsm_en \\(question in English, answer_number\\)"),
        ([{"question": "¿Cuántos huevos?", "answer_number": 18}], "mgsm_en \\(question in English, answer_number\\)"),
        ([{"question": "Mayai mangapi ya bata?", "answer_number": 18}], "mgsm_en \\(question in English"),
        ([{"question": "Combien d'œufs ?", "answer_number": 18}], "mgsm_en \\(question in English, answer_number\\)"),
        ([{"question": "Сколько яиц?", "answer_number": 18}], "mgsm_en \\(question in English, answer_number\\)"),
        *(
            ([{"question": "2?", "answer_number": wrong}], ":1: there is no number that is the answer")
            for wrong in ("none", True, [4], "4 apples", None)
        ),
        *(
            ([{"question": "2?", "answer": wrong}], ":1: nothing but a number must stand behind")
            for wrong in ("2\n####2", "#### two", "#### 2 apples", "#### ")
        ),
        ([{"text": "x"}, {"txt": "x"}], ":2: the keys \\(txt\\) are not those of text"),
        (
            [{"premise": "Io.", "choice1": "a", "choice2": "b", "question": "cause", "label": 0, "changed": False}],
            "no benchmark has the keys",
        ),
    ],
)
def test_a_wrong_file_is_named(tmp_path, records, reason):
    with pytest.raises(SproutError, match=reason):
        read_tasks([write(tmp_path / "data.jsonl", *records)])
