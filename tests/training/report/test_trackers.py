"""`--tracker`: what the real packages have written, offline, and what becomes of a run whose tracker fails."""

import json
import math
import signal
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from model.errors import SproutError, UsageError
from tests.stages.workshop import Workshop, assert_same_run, signal_at
from training.engine.step import Step
from training.report import trackers
from training.report.description import Description
from training.report.lines import read_metrics


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    return Workshop.create(tmp_path_factory.mktemp("tracked"))


def records_of_wandb(path: Path):
    """The records of a .wandb file. It is a log of LevelDB: blocks of 32 KiB, a record whole or in pieces."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, held = path.read_bytes(), 7, b""
    while place + 7 <= len(content):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        size, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        held += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or its last piece
            yield Record.FromString(held)
            held = b""


def read_wandb(folder: Path, id: str):
    """(step, loss) of every line, the configuration, and whether each part of the run ended well."""
    sys.modules["wandb"].teardown()  # its process writes on after `finish`
    losses, config, ends = [], {}, []
    for path in sorted(folder.glob(f"wandb/offline-run-*/run-{id}.wandb")):
        for record in records_of_wandb(path):
            if record.HasField("run"):
                assert (record.run.project, record.run.display_name) == ("garden", "pretrain_32")
                config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
            elif record.HasField("history"):
                line = {item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
                losses.append((line["_step"], line["loss"]))
            elif record.HasField("exit"):
                ends.append(record.exit.exit_code == 0)
    return losses, config, ends


def read_swanlab(folder: Path, id: str):
    from swanlab.proto.swanlab.record.v1.record_pb2 import Record
    from swanlab.proto.swanlab.run.v1.run_pb2 import RunState
    from swanlab.sdk.internal.core_python.store import DataStoreReader

    losses, config, ends = [], {}, []
    for path in sorted(folder.glob(f"swanlog/run-*/run-{id}.swanlab")):
        settings = yaml.safe_load((path.parent / "files/config.yaml").read_text(encoding="utf-8"))
        config |= {key: item["value"] for key, item in settings.items()}
        reader = DataStoreReader()
        reader.open(path)
        for record in map(Record.FromString, reader):
            if record.HasField("start"):
                assert (record.start.project, record.start.name) == ("garden", "pretrain_32")
            elif record.HasField("scalar") and record.scalar.key == "loss":
                losses.append((record.scalar.step, record.scalar.value.number))
            elif record.HasField("finish"):
                ends.append(record.finish.state == RunState.RUN_STATE_FINISHED)
        reader.close()
    return losses, config, ends


def read_trackio(folder: Path, id: str):
    from trackio.sqlite_storage import SQLiteStorage

    assert Path(sys.modules["trackio"].utils.TRACKIO_DIR) == folder / "trackio"
    run = ("garden", f"pretrain_32_{id}")
    losses = [(line["step"], line["loss"]) for line in SQLiteStorage.get_logs(*run)]
    return losses, SQLiteStorage.get_run_config(*run), None  # it does not tell how a run ended


READERS = {"wandb": read_wandb, "swanlab": read_swanlab, "trackio": read_trackio}


@pytest.mark.parametrize("name", READERS)
def test_a_run_that_is_stopped_goes_on_as_the_same_run_of_the_tracker(workshop, name, monkeypatch):
    for variable, value in {"WANDB_MODE": "offline", "SWANLAB_MODE": "offline", "WANDB_SILENT": "true"}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("TRACKIO_DIR", str(workshop.folder / name / "trackio"))
    for module in [each for each in sys.modules if each.partition(".")[0] == "trackio"]:
        monkeypatch.delitem(sys.modules, module)  # trl, of other tests, has imported it, and it reads its folder then
    pytest.importorskip(name, reason=f"{name} is not installed")
    words = ("--tracker", name, "--tracker_project", "garden", "--max_steps", 5, "--eval_interval", 0)
    with signal_at(Step, "update", 3, signal.SIGINT):
        assert workshop.fails(name, *words)[0] == 130
    id = json.loads((workshop.result(name).logs / "tracker.json").read_text())[name]
    result = workshop.train(name, *words, "--resume")
    assert json.loads((result.logs / "tracker.json").read_text()) == {name: id}
    losses, config, ends = READERS[name](workshop.folder / name, id)
    assert losses == [(number, pytest.approx(loss)) for number, loss in enumerate(result.losses, 1)]
    assert len(losses) == 5 and ends in ([False, True], None)
    assert config["max_steps"] == 5 and config["network"]["hidden_size"] == 32 and config["run"]["stage"] == "pretrain"


def test_a_project_without_a_tracker_is_refused(workshop):
    code, said = workshop.fails("none", "--tracker_project", "garden")
    assert (code, said) == (
        2, "error: --tracker_project is for --tracker wandb, swanlab or trackio: give one of them, or leave it out\n"
    )  # fmt: skip


class Fake:
    """A package like wandb. Everything that it is told is in `told`."""

    __name__ = "wandb"

    def __init__(self, log=None):
        self.told, self._log = [], log or (lambda: None)

    def init(self, **settings):
        assert threading.current_thread() is not threading.main_thread()  # or SwanLab takes over Ctrl-C
        self.told.append(settings)
        return self

    def log(self, numbers: dict, step: int) -> None:
        self.told.append((step, numbers))
        self._log()

    def finish(self, exit_code: int) -> None:
        self.told.append(exit_code)


def fail() -> None:
    raise OSError("the network is gone")


def test_a_tracker_that_fails_is_warned_of_once_and_changes_nothing(workshop, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", fake := Fake(fail))
    plain = workshop.train("plain", "--max_steps", 4)
    result = workshop.train("failing", "--use_wandb", "--wandb_project", "garden", "--max_steps", 4)
    assert_same_run(result, plain)
    assert result.said.count("warning: wandb fails (the network is gone); training continues") == 1
    settings, *lines, code = fake.told
    assert settings["project"] == "garden" and [step for step, _ in lines] == [1, 2, 3, 4] and code == 0
    assert workshop.fails("new", "--tracker", "wandb", "--learning_rate", "1e30", "--dtype", "float32")[0] == 1
    assert fake.told[-1] == 1


@pytest.fixture
def opened(tmp_path):
    """A function that opens tracked metrics in a folder of their own, with what was said."""
    said, args = [], SimpleNamespace(tracker_project="garden", out_dir=str(tmp_path), resume=True)
    model = SimpleNamespace(config=SimpleNamespace(to_dict=dict))
    run = SimpleNamespace(args=args, say=said.append, model=model, description=Description())
    folder = tmp_path / "pretrain_32"

    def open_metrics(fake, step=0):
        with trackers.begin(run, fake, folder, step) as of_tracker:
            return of_tracker(folder, step)

    return open_metrics, said


def test_a_tracker_that_hangs_holds_up_neither_the_steps_nor_the_end(opened, monkeypatch):
    monkeypatch.setattr(trackers, "PATIENCE", 0.01)
    monkeypatch.setattr(trackers, "MOST_WAITING", 2)
    (open_metrics, said), awakened = opened, threading.Event()
    metrics = open_metrics(fake := Fake(awakened.wait))
    for step in range(1, 9):
        metrics.write({"step": step, "loss": 1.0})
    metrics.close()
    assert len(read_metrics(metrics.path)) == 8
    assert [each for each in said if "warning" in each] == [
        f"warning: wandb fails (it does not answer, and 2 lines wait already); training continues, and {metrics.path}"
        " has every line"
    ]
    awakened.set()
    metrics._tracker._thread.join(60)
    assert len(fake.told) <= 5 and fake.told[-1] == 0  # what had waited is sent all the same


def test_steps_that_a_killed_run_repeats_are_not_sent_twice(opened):
    open_metrics, _ = opened
    fake = Fake()
    killed = open_metrics(fake)
    for step in range(1, 8):
        killed.write({"step": step, "loss": 1.0, "val_loss": math.nan, "skipped": "no", "good": True})
    going_on = open_metrics(fake, 4)
    for step in range(5, 10):
        going_on.write({"step": step, "loss": 2.0})
    for metrics in (killed, going_on):
        metrics.close()
    assert sorted(each for each in fake.told if isinstance(each, tuple)) == [
        (step, {"loss": 1.0 if step < 8 else 2.0}) for step in range(1, 10)
    ]
    assert fake.told[0]["id"] == next(each for each in fake.told[1:] if isinstance(each, dict))["id"]


def test_what_cannot_begin_is_said_with_what_to_do(opened, tmp_path, monkeypatch):
    fake = Fake()
    fake.init = lambda **settings: fail()
    with pytest.raises(SproutError, match=r"wandb cannot begin \(the network is gone\): log in with"):
        opened[0](fake)
    (tmp_path / "pretrain_32").mkdir(exist_ok=True)
    for content in (b"{", b"[]", b"\xff", b'{"wandb": 1}'):
        (tmp_path / "pretrain_32" / "tracker.json").write_bytes(content)
        with pytest.raises(SproutError, match=r"tracker.json is damaged .*: delete it"):
            opened[0](fake)
    monkeypatch.setitem(sys.modules, "swanlab", None)
    with pytest.raises(UsageError, match=r'needs swanlab, .*: pip install -e "\.\[swanlab\]" brings it'):
        trackers.tracked(SimpleNamespace(args=SimpleNamespace(tracker="swanlab", out_dir="out")))


def test_a_tracker_that_cannot_begin_moves_no_earlier_result(workshop, monkeypatch):
    earlier = workshop.train("earlier", "--max_steps", 1)
    monkeypatch.setitem(sys.modules, "wandb", fake := Fake())
    fake.init = lambda **settings: fail()
    assert "wandb cannot begin" in workshop.fails("earlier", "--tracker", "wandb", "--max_steps", 1)[1]
    assert earlier.weight_file.exists() and not (earlier.weight_file.parent / "earlier").exists()


def test_a_run_whose_earlier_result_cannot_be_moved_ends_at_the_tracker_too(workshop, monkeypatch):
    earlier = workshop.train("unmoved", "--max_steps", 1)
    (earlier.weight_file.parent / "earlier").write_text("a file where the folder is to be")
    monkeypatch.setitem(sys.modules, "wandb", fake := Fake())
    assert "earlier" in workshop.fails("unmoved", "--tracker", "wandb", "--max_steps", 1)[1]
    assert fake.told[1:] == [1]  # its exit code, after its settings
