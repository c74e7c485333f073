from model.text import tokenizer


def test_batches_leave_nothing_out_and_are_bounded_in_both_ways(monkeypatch):
    monkeypatch.setattr(tokenizer, "MAX_CHARACTERS", 6)
    monkeypatch.setattr(tokenizer, "MAX_TEXTS", 3)
    assert list(tokenizer.text_batches(iter(["abc"] * 5))) == [["abc"] * 2, ["abc"] * 2, ["abc"]]
    assert list(tokenizer.text_batches(iter("abcdefg"))) == [["a", "b", "c"], ["d", "e", "f"], ["g"]]
    assert list(tokenizer.text_batches(["abc" * 9, "a"])) == [["abc" * 9], ["a"]]
    assert list(tokenizer.text_batches([])) == []
