from model.text import batches


def test_batches_leave_nothing_out_and_are_bounded_in_both_ways(monkeypatch):
    monkeypatch.setattr(batches, "MAX_CHARACTERS", 6)
    monkeypatch.setattr(batches, "MAX_TEXTS", 3)
    assert list(batches.text_batches(iter(["abc"] * 5))) == [["abc"] * 2, ["abc"] * 2, ["abc"]]
    assert list(batches.text_batches(iter("abcdefg"))) == [["a", "b", "c"], ["d", "e", "f"], ["g"]]
    assert list(batches.text_batches(["abc" * 9, "a"])) == [["abc" * 9], ["a"]]
    assert list(batches.text_batches([])) == []
