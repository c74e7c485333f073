"""An output belongs to one run at a time, and nothing that an earlier run wrote is lost."""

import pytest
from torch import nn

from model.disk import previous_path
from model.errors import SproutError
from training.engine.output import Output


def output_of(folder, name: str = "a_32") -> Output:
    return Output(str(folder), name, nn.Module())


def test_an_earlier_result_is_kept_whole(tmp_path):
    output = output_of(tmp_path)
    weights, state, logs = output.weight_file, output.resume_file, output.logs
    assert (weights.name, state.name, logs) == ("a_32.pth", "a_32_resume.pth", tmp_path / "logs" / "a_32")
    assert output.keep_aside() is None
    folders = []
    for content in ("first", "second"):  # within one second, too
        for path in (weights, state, previous_path(weights), logs / "metrics.jsonl"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        (tmp_path / "b_32.pth").write_text("of another run")
        folders.append(output.keep_aside())
        assert sorted(path.name for path in tmp_path.iterdir()) == ["b_32.pth", "earlier", "logs"]
    for folder, content in zip(folders, ("first", "second"), strict=True):
        assert folder.parent == tmp_path / "earlier" and folder.name.startswith("a_32_")
        names = ("a_32.pth", "a_32_resume.pth", "a_32.previous.pth", "logs/metrics.jsonl")
        assert [(folder / name).read_text() for name in names] == [content] * 4


def test_a_second_run_on_the_same_output_is_refused_until_the_first_ends(tmp_path):
    first = output_of(tmp_path / "out")
    first.claim()
    with pytest.raises(SproutError, match=r"another run is writing .*a_32.pth"):
        output_of(tmp_path / "out").claim()
    other = output_of(tmp_path / "out", "b_32")
    other.claim()
    other.release()
    first.release()
    again = output_of(tmp_path / "out")
    again.claim()
    again.release()


def test_an_output_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SproutError, match=r"cannot be written.*--out_dir"):
        output_of(tmp_path / "file").claim()
