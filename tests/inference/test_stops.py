"""Stop strings in text that comes in pieces."""

from hypothesis import given
from hypothesis import strategies as st

from inference.stops import StopStrings

SHORT = st.text("ab", max_size=4)


def test_an_empty_stop_string_stops_nothing():
    stream = StopStrings(["", "b"])
    assert (stream.push("a"), stream.found) == ("a", False)
    assert (stream.push("ab"), stream.found) == ("a", True)


@given(st.lists(st.text("ab", max_size=3), max_size=8), st.lists(SHORT.filter(len), max_size=4))
def test_a_text_ends_before_the_first_stop_string(pieces, stops):
    stream, said = StopStrings(stops), ""
    for number, piece in enumerate(pieces):
        said += stream.push(piece)
        come = "".join(pieces[: number + 1])
        assert come.startswith(said)
        if stream.found:
            break
        assert not any(stop in come for stop in stops)  # it is found as soon as it has come
        held = come[len(said) :]
        assert not held or any(stop.startswith(held) for stop in stops)  # nothing is held back without need
    else:
        assert said + stream.finish() == "".join(pieces)
        return
    assert said == come[: min(place for stop in stops if (place := come.find(stop)) >= 0)]
