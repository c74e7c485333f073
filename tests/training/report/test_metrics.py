"""metrics.jsonl, the events and the curve."""

import contextlib
import io
import json
import math
import shutil
from unittest import mock

import pandas
import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from model.errors import SproutError
from tests.stages.workshop import Workshop
from training.diagnosis.known import read_description
from training.report import loss_curve
from training.report import metrics as module
from training.report.fonts import fonts
from training.report.lines import read_metrics
from training.report.loss_curve import draw_loss_curve, show_within, trend
from training.report.metrics import Metrics


def line(step: int, **more) -> dict:
    times = {"time/seconds": 0.5, "time/tokens_per_second": 256.0, "time/memory": 1000}
    return {"step": step, "tokens": 128 * step, "loss": 5 / step, "lr": 1e-3, "grad_norm": 1.0} | times | more


def write(folder, steps, resume_step=0):
    metrics = Metrics(folder, resume_step)
    for step in steps:
        metrics.write(line(step))
    metrics.close()
    return metrics.path


def test_a_line_a_step(tmp_path):
    path = write(tmp_path / "logs" / "pretrain_32", range(1, 4))
    assert path.name == "metrics.jsonl"
    assert [json.loads(text) for text in path.read_text().splitlines()] == [line(1), line(2), line(3)]


def test_going_on_cuts_away_what_came_after_the_checkpoint(tmp_path):
    write(tmp_path, range(1, 8))
    path = write(tmp_path, range(5, 7), resume_step=4)
    assert [entry["step"] for entry in read_metrics(path)] == [1, 2, 3, 4, 5, 6]
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("tail", [b"{", b'{"step": 4, "tok', '{"text": "\u65b0'.encode()[:-1]])
def test_a_last_line_cut_short_is_left_out(tmp_path, tail):
    path = write(tmp_path, range(1, 4))
    with open(path, "ab") as file:
        file.write(tail)
    assert [entry["step"] for entry in read_metrics(path)] == [1, 2, 3]
    write(tmp_path, [4], resume_step=3)
    assert [entry["step"] for entry in read_metrics(path)] == [1, 2, 3, 4]


def test_a_line_whose_times_are_no_object_is_damaged(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "time": null}\n')
    with pytest.raises(SproutError, match=r"metrics.jsonl:1 is damaged"):
        read_metrics(tmp_path / "metrics.jsonl")


def test_a_damaged_line_before_the_last_is_named(tmp_path):
    path = write(tmp_path, range(1, 4))
    path.write_bytes(path.read_bytes().replace(b"{", b"\0", 1))
    with pytest.raises(SproutError, match=r"metrics.jsonl:1 is damaged"):
        read_metrics(path)


def test_what_is_not_finite_is_null_since_json_knows_no_nan(tmp_path):
    metrics = Metrics(tmp_path)
    metrics.write(line(1, val_loss=math.nan))
    metrics.close()
    assert json.loads(metrics.path.read_text(), parse_constant=pytest.fail)["val_loss"] is None


def test_tables_have_a_column_for_each_value(tmp_path):
    path = write(tmp_path, range(1, 4))
    table = pandas.read_json(path, lines=True)
    assert list(table.columns) == list(line(1)) and all(dtype.kind in "if" for dtype in table.dtypes)
    assert list(table["time/seconds"]) == [0.5] * 3


def test_files_of_earlier_versions_are_read_and_gone_on_with(tmp_path):
    """They have an object of times in each line."""
    times = {"seconds": 0.5, "tokens_per_second": 256.0, "memory": 1000}
    old = [{"step": step, "loss": 5 / step, "lr": 1e-3, "time": times} for step in range(1, 6)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in old))
    path = write(tmp_path, [5], resume_step=4)
    assert [entry["time/seconds"] for entry in read_metrics(path)] == [0.5] * 5
    assert not any("time" in json.loads(text) for text in path.read_text().splitlines())


def test_lines_are_there_as_soon_as_they_are_written(tmp_path):
    metrics = Metrics(tmp_path)
    metrics.write(line(1))
    assert read_metrics(metrics.path) == [line(1)]
    metrics.close()


def test_numbers_go_to_tensorboard(tmp_path):
    metrics = Metrics(tmp_path)
    metrics.write(line(1, val_loss=4.0))
    metrics.write(line(2, loss=None, skipped="non-finite"))
    metrics.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert set(events.Tags()["scalars"]) >= {"loss", "lr", "grad_norm", "tokens", "val_loss", "time/seconds"}
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 5.0)]
    assert [event.step for event in events.Scalars("lr")] == [1, 2]


def test_the_curve_is_a_png_and_replaces_the_last(tmp_path):
    from matplotlib import image

    path = tmp_path / "loss.png"
    lines = [line(1), line(2, loss=None), line(3, val_loss=2.0), line(4, val_loss=math.inf)]
    for count in (1, 4):
        draw_loss_curve(lines[:count], path, "pretrain_32")
        picture = image.imread(path)
        assert min(picture.shape[:2]) > 300
        assert picture.std() > 0.01  # not a blank page
    assert [file.name for file in tmp_path.iterdir()] == ["loss.png"]


def test_drawing_takes_a_small_part_of_the_time(tmp_path, monkeypatch):
    clock, drawings = [100.0], []
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])

    def draw(*args):
        drawings.append(clock[0])
        clock[0] += 2.0

    monkeypatch.setattr(loss_curve, "draw_loss_curve", draw)
    metrics = Metrics(tmp_path)
    for step in range(1, 4):
        metrics.write(line(step))
    for clock[0] in (100.0, 110.0, 199.0, 200.0, 250.0):
        metrics.draw(sparingly=True)
    assert drawings == [100.0, 200.0]
    metrics.draw()
    assert len(drawings) == 3
    metrics.close()


def test_a_run_without_a_good_step_draws_nothing(tmp_path):
    draw_loss_curve([line(1, loss=None)], tmp_path / "loss.png", "pretrain_32")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("count", [200, 1000, 3000])
def test_the_trend_does_not_lag_behind_a_loss_that_falls(count):
    loss = [2.5 + 3.7 * math.exp(-step / 30) + 2.5 / (1 + 40 * step / count) for step in range(1, count + 1)]
    assert max(abs(a - b) for a, b in zip(trend(loss), loss)) < 0.25
    assert max(abs(a - b) for a, b in zip(trend(loss)[40:], loss[40:])) < 0.1
    assert trend([math.nan, 1.0, math.inf]) == [1.0, 1.0, 1.0] and trend([2.0]) == [2.0]


def test_one_odd_batch_bends_no_curve(tmp_path, monkeypatch):
    loss = [2.5 + 3.7 * math.exp(-step / 30) + 0.05 * math.sin(9 * step) for step in range(1, 201)]
    odd = [*loss[:100], 3000.0, *loss[101:]]
    assert max(abs(a - b) for a, b in zip(trend(odd), trend(loss))) < 0.05
    assert trend([0.0] * 30 + [1.0] + [0.0] * 30)[30] > 0  # a reward that is rare is no odd one
    shown, figures = Figure(), []
    panel = shown.add_subplot()
    panel.plot(odd)
    assert show_within(panel, range(1, 201), odd, [20.0]) == "not shown: up to 3,000 at step 101"
    assert panel.get_ylim()[0] < 2.5 and 20 < panel.get_ylim()[1] < 25  # validation stays in sight
    assert show_within(panel, range(1, 201), odd, [3000.0]) == "" and panel.get_ylim()[1] > 3000
    slow = [30.0, *(40_000.0 + step % 9 for step in range(199))]  # tokens a second, while the first step compiles
    assert show_within(panel, range(1, 201), slow) == "not shown: down to 30 at step 1"
    assert show_within(panel, range(1, 201), loss) == "" and show_within(panel, [1, 2], [1.0, 9e9]) == ""
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    draw_loss_curve([line(step, loss=value) for step, value in enumerate(odd, 1)], tmp_path / "loss.png", "a_32")
    assert figures[0].axes[0].get_ylim()[1] < 20
    assert "not shown: up to 3,000 at step 101" in [text.get_text() for text in figures[0].axes[0].texts]


def test_a_name_in_chinese_is_drawn_with_a_font_that_has_its_letters(tmp_path, monkeypatch):
    has = [font_manager.FontEntry(name=name) for name in ("DejaVu Sans", "SimHei", "Ubuntu")]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", has)
    assert fonts("新芽") == ["DejaVu Sans", "SimHei"] and fonts("pretrain_32") == ["DejaVu Sans"]
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    draw_loss_curve([line(step) for step in (1, 2, 3)], tmp_path / "loss.png", "新芽$_32")
    title = figures[0].axes[0].title
    assert title.get_fontfamily() == fonts("新芽") and title.get_text().startswith(r"新芽\$_32: ")


def test_the_picture_hides_no_skipped_step_no_lone_point_and_no_end_of_a_long_name(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    lines = [line(1), line(2, loss=None, skipped="non-finite"), line(3, loss=None, skipped="overflow")]
    name = "a_name_of_which_all_flags_are_a_part_rate0.001_batch8_schedule_wsd_seed42_of_the_fifth_of_may_512"
    draw_loss_curve(lines, tmp_path / "loss.png", name)
    (figure,) = figures
    loss, rate = figure.axes
    assert [curve.get_marker() for curve in loss.lines if curve.get_label() == "training, smoothed"] == ["."]
    (skipped,) = loss.collections
    assert [place.tolist() for place in skipped.get_segments()] == [[[2, 0], [2, 0.03]]]
    assert rate.get_ylim()[0] == 0
    box = loss.title.get_window_extent()
    assert loss.title.get_text().replace("\n", "").startswith(name) and box.width < figure.bbox.width
    draw_loss_curve([line(1), line(2), line(3)], tmp_path / "loss.png", "pretrain_32")
    assert not figures[1].axes[0].collections


def test_while_the_critic_learns_alone_the_rewards_are_drawn(tmp_path, monkeypatch):
    """The policy of PPO has no loss in the first steps."""
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    draw_loss_curve([line(step, loss=None, reward=0.5) for step in (1, 2, 3)], tmp_path / "loss.png", "ppo_32")
    assert [panel.get_ylabel() for panel in figures[0].axes] == ["reward", "learning rate"]


def test_what_matters_in_a_stage_is_drawn_too(tmp_path, monkeypatch):
    from matplotlib import pyplot

    drawn = []
    monkeypatch.setattr(pyplot, "close", drawn.append)
    pair = {"rewards/accuracies": 0.5, "rewards/margins": 1.0, "rewards/chosen": 0.1}
    draw_loss_curve([line(1, **pair), line(2, **pair, **{"val_rewards/margins": 2.0})], tmp_path / "dpo.png", "dpo_32")
    draw_loss_curve([line(1), line(2, val_loss=2.0, val_token_accuracy=0.5)], tmp_path / "sft.png", "sft_32")
    draw_loss_curve([line(1), line(2, val_loss=2.0, val_bits_per_byte=0.5)], tmp_path / "pretrain.png", "pretrain_32")
    rewarded = {"reward": 0.5, "objective/kl": 1.0}
    draw_loss_curve([line(1, **rewarded), line(2, **rewarded, val_reward=0.75)], tmp_path / "ppo.png", "ppo_32")
    monkeypatch.undo()
    names = [[panel.get_ylabel() for panel in figure.axes] for figure in drawn]
    assert names[0] == ["loss", "accuracies", "margins", "learning rate"]
    assert names[3] == ["reward", "kl", "loss", "learning rate"]
    assert drawn[3].axes[0].get_title() == "ppo_32: validation 0.750 at step 2"
    assert names[1:3] == [["loss (nats per token)", *more, "learning rate"] for more in (["token_accuracy"], [])]
    assert [len(panel.lines) for panel in drawn[0].axes] == [2, 2, 3, 1]
    assert all(tick == int(tick) for tick in drawn[0].axes[-1].get_xticks())
    pyplot.close("all")


@pytest.mark.parametrize("samples", [0, 5])
def test_logs_that_somebody_removes_end_no_run(tmp_path, samples):
    """The curve begins anew, at the latest where it is drawn, and so do TensorBoard's events."""
    workshop, write = Workshop.create(tmp_path), Metrics.write

    def removed(self, line):
        write(self, line)
        if line["step"] == 4:
            shutil.rmtree(self.folder)

    said = io.StringIO()
    with mock.patch.object(Metrics, "write", removed), contextlib.redirect_stderr(said):
        words = (
            "--max_steps=24",
            "--epochs=8",
            "--save_interval=6",
            "--eval_interval=0",
            f"--sample_interval={samples}",
        )
        result = workshop.train("out", *words, draws=True)
    path = result.logs / "metrics.jsonl"
    assert said.getvalue() == f"warning: {path} is gone while the run writes it: its curve begins anew\n"
    assert "done: " in result.said and result.facts["step"] == 24
    assert [line["step"] for line in result.metrics] == list(range(7, 25))
    assert list(result.logs.glob("events.*")) and (result.logs / "loss.png").exists()
    assert read_description(result.logs).steps == 24
