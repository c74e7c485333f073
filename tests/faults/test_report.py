"""The page on reliability names every promise and the tests that prove it, and nothing that is not there."""

import re

import pytest

from tests.faults import report
from tests.faults.page import CHINESE, PAGE, in_chinese, part_of, replace_part

TEXT = PAGE.read_text(encoding="utf-8")


def test_every_promise_is_on_the_page_with_its_tests():
    assert part_of(TEXT, "promises").splitlines()[2:] == list(map(report.row, report.modules()))


def test_every_script_is_on_the_page_and_answers_soon():
    rows = dict(re.findall(r"^\| `(.+)` \| ([\d.]+) s \|$", part_of(TEXT, "help"), re.MULTILINE))
    assert list(rows) == list(report.SCRIPTS)
    assert all(float(seconds) < 2.5 for seconds in rows.values())  # as measured when the page was written


def test_the_page_names_files_and_tests_that_exist():
    for name in re.findall(r"`((?:tests|docs|scripts|training|model|dataset)/[\w/]+\.\w+)`", TEXT):
        assert (report.ROOT / name).exists(), name
    everything = "".join(path.read_text(encoding="utf-8") for path in report.ROOT.glob("tests/**/*.py"))
    for name in re.findall(r"`(test_\w+)`", TEXT):
        assert f"def {name}(" in everything or (report.ROOT / "tests" / "faults" / f"{name}.py").exists(), name


def test_the_chinese_page_says_the_same():
    text = CHINESE.read_text(encoding="utf-8")
    for part in ("promises", "soak", "help"):
        assert part_of(text, part) == in_chinese(part, part_of(TEXT, part), text)
        for line in part_of(text, part).splitlines():
            assert part == "help" or re.search("[一-龥]|^[|-]+$", line.split(" | ")[0]), f"to be translated: {line}"


def test_a_part_is_replaced_and_nothing_else(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(TEXT, encoding="utf-8")
    replace_part("soak", "| new |", page)
    text = page.read_text(encoding="utf-8")
    assert part_of(text, "soak") == "| new |"
    for part in ("promises", "help"):
        assert part_of(text, part) == part_of(TEXT, part)
    replace_part("soak", part_of(TEXT, "soak"), page)
    assert page.read_text(encoding="utf-8") == TEXT
    with pytest.raises(ValueError):
        replace_part("nothing", "", page)


@pytest.mark.parametrize("flag, code", [("--help", 0), ("--hlep", 2)])
def test_help_and_unknown_flags_write_nothing(flag, code, monkeypatch, capsys):
    monkeypatch.setattr(report, "write_part", lambda *_: pytest.fail("the page was written"))
    monkeypatch.setattr(report.pytest, "main", lambda *_, **__: pytest.fail("the tests were run"))
    with pytest.raises(SystemExit) as ended:
        report.main([flag])
    assert ended.value.code == code and "usage:" in "".join(capsys.readouterr())


def test_figures_are_those_of_tests_that_passed():
    class Report:
        def __init__(self, outcome, when="call", properties=()):
            self.nodeid, self.outcome, self.when = "tests/faults/test_report.py::test", outcome, when
            self.passed, self.duration, self.user_properties = outcome == "passed", 0.5, properties

    figures = report.Figures()
    for each in (
        Report("passed", "setup"),
        Report("passed", properties=[("kills", 3)]),
        Report("passed", properties=[("kills", 2), ("kills", 1)]),
        Report("skipped", "setup"),
    ):
        figures.pytest_runtest_logreport(each)
    module = "tests/faults/test_report.py"
    assert figures.line(module) == f"{module}: 6 kills, 2 tests, 1 not run here, 2 s"
    figures.pytest_runtest_logreport(Report("failed", properties=[("kills", 9)]))
    assert figures.line(module) == f"{module}: 6 kills, 2 tests, 1 not run here, 1 failed, 2 s"
