"""What stands on the page of a run, also of one that left less than it should."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from matplotlib.axes import Axes

from dataset.pages import new_figure, svg
from tests.training.page.logs import line_of, write_run
from training.page import curves
from training.page.curves import pictures_of
from training.page.left import what_is_left
from training.page.page import page_of
from training.page.thinned import spread_out, thinned


class Reader(HTMLParser):
    """The names of all elements, those that are never closed, and whatever leads outside."""

    def __init__(self, page: str):
        super().__init__()
        self.names, self.open, self.outside = set(), [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, name, attributes):
        self.names.add(name)
        if name not in ("meta", "br"):
            self.open.append(name)
        for key, value in attributes:
            led = key in ("src", "href", "xlink:href", "action", "data") and not (value or "").startswith("#")
            if led or key.startswith("on"):
                self.outside.append((name, key, value))

    def handle_startendtag(self, name, attributes):
        self.handle_starttag(name, attributes)
        self.open.pop()

    def handle_endtag(self, name):
        assert self.open.pop() == name


def test_a_page_shows_what_a_run_left(tmp_path):
    page = page_of([write_run(tmp_path / "logs" / "新芽_64")])
    for text in (
        "新芽_64",
        "complete, 40 steps",
        "healthy",
        "从前",
        "在第20步",
        "model     4 M",
        "abc-dirty",
        "文.jsonl",
    ):
        assert text in page
    for title in (
        "loss",
        "learning rate",
        "gradient norm, before clipping",
        "tokens a second",
        "memory at its peak, GB",
    ):
        assert f"<figcaption>{title}</figcaption><svg" in page
    read = Reader(page)
    assert not read.open and not read.outside and "img" not in read.names and "script" not in read.names
    assert "Not all is there" not in page


def test_what_a_network_wrote_stays_text(tmp_path):
    metrics = write_run(tmp_path / "a_64", weight_name="<script>alert(1)</script>")
    hostile = {
        "step": 30,
        "prompt": "</dl><img src=x onerror=alert(1)>",
        "answer": "<script>alert(2)</script>\ud800&amp;",
    }
    with open(metrics.with_name("samples.jsonl"), "a") as file:
        file.write(json.dumps(hostile) + "\n")
    lines = [line_of(41, **{"<img src=y>": 0.5, "rewards/<b>/mean": 1.0})]
    with open(metrics, "a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    page = page_of([metrics])
    read = Reader(page)
    assert not read.names & {"img", "script"} and not read.outside and not read.open
    assert "&lt;img src=x onerror=alert(1)&gt;" in page and "&amp;amp;" in page
    page.encode("utf-8")


RATED = {"rewards": {"exact": 1.0, "style": None}, "tokens": 3, "ended": True}


def test_rewards_come_first_and_the_best_and_worst_answer_are_shown(tmp_path):
    metrics = write_run(tmp_path / "grpo_64")
    lines = [line_of(step, reward=step / 40, kl=0.01, **{"rewards/exact/mean": step / 50}) for step in range(1, 41)]
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    answers = [("42", 1.0), ("middling", 0.5), ("wrong", 0.0)]
    samples = [{"step": 5, "prompt": "6 x 7?", "answer": a, **RATED, "rewards": {"exact": r}} for a, r in answers]
    metrics.with_name("samples.jsonl").write_text("".join(json.dumps(each) + "\n" for each in samples))
    page = page_of([metrics])
    titles = re.findall("<figcaption>(.*?)</figcaption>", page)
    assert titles[:2] == ["reward", "KL to the reference, nats"] and "rewards/exact/mean" in titles
    assert "exact 1" in page and ">wrong</dd>" in page and "middling" not in page
    # Weights may turn the order around, and what no reward has rated is neither.
    for each, reward in zip(samples, (-1.0, 0.0, 2.0)):
        each["reward"] = reward
    samples.append(samples[0] | {"answer": "unrated", "reward": None, "rewards": {"exact": None}})
    metrics.with_name("samples.jsonl").write_text("".join(json.dumps(each) + "\n" for each in samples))
    page = page_of([metrics])
    assert page.index(">wrong</dd>") < page.index(">42</dd>") and "unrated" not in page and "middling" not in page


@pytest.mark.parametrize("name", ["pretrain_64", "other_64"])
def test_results_of_held_out_questions_belong_to_their_weight(tmp_path, name):
    metrics = write_run(tmp_path / "out" / "logs" / name)
    skills = {"<capital>": {"accuracy": 0.25, "questions": 8}, "sum": {"accuracy": 1.0, "questions": 2}}
    result = {"accuracy": 0.4, "questions": 10, "skills": skills, "weight": "out/pretrain_64.pth", "file": "q.jsonl"}
    (tmp_path / "out" / "questions.json").write_text(json.dumps(result))
    (tmp_path / "out" / "quickstart.json").write_text('{"some": ["other", "file"]}')
    page = page_of([metrics])
    assert ("&lt;capital&gt;" in page and "40.0%" in page) == (name == "pretrain_64")


def test_results_of_a_weight_that_no_run_made_stand_on_the_page_of_several(tmp_path):
    paths = [write_run(tmp_path / "logs" / name) for name in ("first_chat_64", "full_sft_64")]
    result = {"accuracy": 0.9, "questions": 10, "skills": {}, "weight": "chat", "file": "unknown.jsonl"}
    (tmp_path / "chat_unknown.json").write_text(json.dumps(result))
    page = page_of(paths)
    assert "Other weights" in page and "90.0%" in page.partition("Other weights")[2]
    (tmp_path / "chat_unknown.json").write_text(json.dumps(result | {"weight": "full_sft"}))
    assert "Other weights" not in page_of(paths) and "90.0%" in page_of(paths)


def test_a_picture_stays_well_formed_and_its_texts_stay_as_they_are():
    labels = ["font-family: q", ' x="1.2345" d="M 1.2345 2"', "#222222; x: #222222;", "two\nlines $a_1$", "<b>&"]
    figure, axes = new_figure(2.0)
    for number, label in enumerate(labels):
        axes.plot([1e-5, 2, 3.123456], [number, 1e9, -0.0], "o-", label=label)
    axes.fill_between([1, 2, 3], [1, 2, 3], [2, 3, 4.56789], alpha=0.2)
    axes.legend()
    root = ElementTree.fromstring(svg(figure, "a"))
    texts = [text for each in root.iter() if each.tag.endswith("text") for text in each.itertext()]
    for label in labels[:3] + labels[4:]:
        assert label.strip() in [text.strip() for text in texts], label
    paths = [each.get("d") for each in root.iter() if each.tag.endswith("path")]
    assert all(re.fullmatch(r"([MLCQz][-\d. ]*)+", path) for path in paths)


# --- what is missing or damaged ---------------------------------------------------------------------


def test_damaged_pieces_are_named_and_the_rest_is_shown(tmp_path):
    metrics = write_run(tmp_path / "a_64")
    lines = metrics.read_text().splitlines(keepends=True)
    lines[4], lines[7] = "{\0\n", '{"step": "nine"}\n'
    metrics.write_text("".join(lines) + '{"step": 41, "lo')
    metrics.with_name("samples.jsonl").write_bytes(b'{"step": 3, "prompt": "a"}\n\xff\n{"step"')
    left = what_is_left(metrics)
    assert [line["step"] for line in left.lines] == [1, 2, 3, 4, 6, 7, *range(9, 41)]
    page = page_of([metrics])
    assert "metrics.jsonl: left out 2 bad lines (5, 8)" in page and "lacks 2 of the 40 steps" in page
    assert "the last line was cut short" in page and "samples.jsonl: left out 2 bad lines" in page and "healthy" in page


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("run.json", None, "there is no run.json"),
        ("run.json", "{", "run.json is damaged"),
        ("run.json", '{"stage": "pretrain"}', "run.json holds no flags"),
        ("samples.jsonl", None, "there is no samples.jsonl"),
        ("metrics.jsonl", "", "metrics.jsonl holds no step yet"),
        ("metrics.jsonl", json.dumps(line_of(1)) + "\n", "too few to judge"),
        ("metrics.jsonl", '{"step": 1, "loss": null, "lr": 1}\n', "1 step without a loss"),
        ("metrics.jsonl", '{"step": 1, "tokens": 9}\n', "no verdict"),
    ],
)
def test_a_piece_that_is_missing_stops_nothing(tmp_path, name, content, words):
    metrics = write_run(tmp_path / "a_64")
    metrics.with_name(name).unlink() if content is None else metrics.with_name(name).write_text(content)
    page = page_of([metrics])
    assert words in page and not Reader(page).open


def test_steps_that_are_not_finite_are_marked(tmp_path):
    metrics = write_run(tmp_path / "a_64")
    with open(metrics, "a") as file:
        file.writelines(json.dumps(line_of(s) | {"loss": None, "skipped": "non-finite"}) + "\n" for s in (41, 42, 43))
    page = page_of([metrics])
    assert "diverged" in page and "no loss: not finite" in page and "3 steps without a loss" in page


def test_lost_steps_are_marked_from_the_first_to_the_last(tmp_path, monkeypatch):
    metrics, marked = write_run(tmp_path / "a_64"), []
    monkeypatch.setattr(Axes, "axvline", lambda axes, step, **_: marked.append(step))
    with open(metrics, "a") as file:
        file.writelines(json.dumps(line_of(s) | {"loss": None, "skipped": "non-finite"}) + "\n" for s in range(41, 201))
    page_of([metrics])
    assert marked[0] == 41 and marked[-1] == 200 and len(marked) == 50


def test_what_is_the_same_in_all_steps_is_said_and_not_drawn(tmp_path):
    """It would take the place of curves that tell something."""
    metrics = write_run(tmp_path / "a_64")
    same = {"trained_share": 1.0, "val_ended": 0.25} | {f"clip_ratio/{number}": 0.0 for number in range(30)}
    lines = [json.loads(line) | same for line in metrics.read_text().splitlines()]
    metrics.write_text("".join(json.dumps(line | {"zone": line["step"]}) + "\n" for line in lines))
    titles = [title for title, _ in pictures_of(what_is_left(metrics))]
    assert titles[:2] == ["loss", "learning rate"] and titles[-1] == "zone" and len(titles) == 6
    page = page_of([metrics])
    assert "the same in all steps: clip_ratio/0 0, " in page and "ended 0.25" in page and "trained_share 1" in page


def test_a_spike_hides_no_curve(tmp_path):
    metrics = write_run(tmp_path / "a_64")
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    lines[20]["loss"] = 5000.0
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "loss (not shown: up to 5,000 at step 21)</figcaption>" in page_of([metrics])


def test_a_picture_has_a_name_and_whole_steps(tmp_path):
    page = page_of([write_run(tmp_path / "a_64", steps=1)])
    assert not re.search(r">[\d.]+m</text>", page) and ">0.95" not in page  # a thousandth of a step
    page = page_of([write_run(tmp_path / "b_64")])
    assert 'role="img" aria-label="loss: training from 8 at step 1 to 4.1 at step 40; validation from 4 at' in page
    assert page.count("<svg") == page.count('<svg role="img" aria-label="')


def test_all_pictures_of_a_run_measure_its_steps_alike(tmp_path, monkeypatch):
    """A measure that only validation has would seem to cover the whole run."""
    metrics, figures = write_run(tmp_path / "a_64", steps=40), []
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    lines[-1]["val_bits_per_byte"] = 2.0
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setattr(curves, "svg", lambda figure, *_: figures.append(figure))
    titles = [title for title, _ in pictures_of(what_is_left(metrics))]
    ends = {tuple(map(round, figure.axes[0].get_xlim(), (2, 2))) for figure in figures}
    assert "bits_per_byte" in titles and ends == {(-0.95, 41.95)}
    assert figures[titles.index("learning rate")].axes[0].get_ylim()[0] == 0


def test_steps_that_overflowed_float16_are_not_called_lost(tmp_path):
    metrics = write_run(tmp_path / "a_64")
    with open(metrics, "a") as file:
        file.write(json.dumps(line_of(41) | {"loss": None, "skipped": "overflow"}) + "\n")
    page = page_of([metrics])
    assert "without a loss" not in page and "no loss: not finite" not in page


def test_steps_that_train_nothing_are_not_missed(tmp_path):
    """While PPO's critic warms up."""
    metrics = write_run(tmp_path / "a_64")
    with open(metrics, "a") as file:
        file.writelines(json.dumps(line_of(s) | {"loss": None, "trained_share": 0.0}) + "\n" for s in (41, 42))
    left = what_is_left(metrics)
    assert left.lost() == [] and left.missing == []


def test_why_there_are_no_samples(tmp_path):
    metrics = write_run(tmp_path / "a_64", sample_interval=0)
    assert "--sample_interval 0 asked for no samples" in page_of([metrics])
    metrics = write_run(tmp_path / "b_64")
    facts = json.loads((metrics.parent / "run.json").read_text())
    del facts["flags"]["sample_interval"]  # flags that nobody gave are not written
    (metrics.parent / "run.json").write_text(json.dumps(facts))
    assert "What it wrote" in page_of([metrics])
    (metrics.parent / "samples.jsonl").unlink()
    assert "no samples are due yet" in page_of([metrics])
    facts = json.loads((metrics.parent / "run.json").read_text()) | {"stage": "dpo"}
    (metrics.parent / "run.json").write_text(json.dumps(facts))
    page = page_of([metrics])
    assert "samples.jsonl" not in page and "sample_interval" not in page


def test_where_a_run_stands(tmp_path):
    left = what_is_left(write_run(tmp_path / "logs" / "a_64", planned=80))
    assert left.state(left.changed + 5).endswith("killed shortly before: step 40 of 80")
    assert left.state(left.changed + 5000) == "ended at step 40 of 80; beside its logs there is no save to go on from"
    (tmp_path / "a_64_resume.pth").touch()
    assert left.state(left.changed + 5000) == (
        "ended at step 40 of 80; the same command with --resume goes on from its last save"
    )
    earlier = what_is_left(write_run(tmp_path / "earlier" / "a_64_2026-01-01_120000" / "logs", planned=80))
    assert earlier.state(earlier.changed + 5000) == "ended at step 40 of 80"  # its save lies beside its logs
    left.description = replace(left.description, stopped="a rule")
    assert left.state() == "stopped at step 40 of 80: a rule"
    assert what_is_left(write_run(tmp_path / "b_64", steps=1)).state() == "complete, 1 step"


# --- long runs --------------------------------------------------------------------------------------


def measures(step: int, count: int) -> dict[str, float]:
    return {f"measure/{i}": 0.123456789 * i * (1 + step % 7) for i in range(count)} | {"measure/0": 1 / step}


def test_a_long_run_becomes_a_page_of_a_size_to_send(tmp_path):
    metrics = write_run(tmp_path / "a_64", steps=3)
    with open(metrics, "w") as file:
        file.writelines(json.dumps(line_of(step, **measures(step, 6))) + "\n" for step in range(1, 20_001))
    assert len(page_of([metrics]).encode()) < 1_000_000


def test_the_runs_of_a_whole_way_fit_on_a_page_of_a_size_to_send(tmp_path):
    """As many as `scripts/quickstart.py --full` makes, with fourteen curves each."""
    paths = []
    for number in range(18):
        paths.append(write_run(tmp_path / f"run{number}_64", steps=3, learning_rate=0.01 * (number + 1)))
        with open(paths[-1], "w") as file:
            file.writelines(json.dumps(line_of(step, **measures(step, 9))) + "\n" for step in range(1, 301))
    page = page_of(paths)
    assert page.count("<figure>") == 18 * 14 + 2 and len(page.encode()) < 2_000_000


def test_thinning_keeps_the_peaks():
    y = [0.0] * 10_000
    y[7777] = 5.0
    x, mean, least, largest = thinned(range(10_000), y, 100)
    assert len(x) == len(mean) == 100 and largest.max() == 5.0 and least.min() == 0.0
    assert mean.mean() == pytest.approx(5e-4) and list(x) == sorted(x)
    assert [list(part) for part in thinned([1, 2], [3.0, 4.0], 5)] == [[1, 2]] + 3 * [[3, 4]]
    assert spread_out(range(100), 4) == [0, 33, 66, 99] and spread_out([1, 2], 4) == [1, 2]
