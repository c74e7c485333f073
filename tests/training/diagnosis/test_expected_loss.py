"""The loss to expect: the committed law is the fit of the committed points, and says nothing beyond them."""

import pytest

from training.diagnosis.expected_loss import LAW, POINTS, Law, Point, expected_bits_per_byte, fit
from training.report.description import Description

DEFAULT_PRESET = Description(
    stage="pretrain",
    begins_with="nothing",
    parameters=25_829_888,
    trained_parameters=25_829_888,
    vocab_size=6400,
    different_tokens=4_337_112,
)


def test_the_law_is_the_fit_of_the_points():
    assert fit(POINTS) == pytest.approx(LAW, rel=1e-3)


def test_the_points_lie_close_to_it():
    for point in POINTS:
        assert LAW.bits_per_byte(point.parameters, point.tokens) == pytest.approx(point.bits_per_byte, rel=0.03)


def test_a_fit_finds_the_law_that_made_the_points():
    law = Law(2.0, 0.1, -0.03, 0.01)
    sizes = [(n, d) for n in (1e5, 1e6, 1e7) for d in (1e5, 1e6)]
    assert fit([Point(n, d, law.bits_per_byte(n, d)) for n, d in sizes]) == pytest.approx(law)


def test_more_text_and_a_larger_network_are_expected_to_reach_less():
    assert 1.6 < expected_bits_per_byte(DEFAULT_PRESET, 4_337_112) < expected_bits_per_byte(DEFAULT_PRESET, 10**6) < 2.3
    small = Description(**vars(DEFAULT_PRESET) | {"parameters": 600_000, "trained_parameters": 600_000})
    assert expected_bits_per_byte(small, 10**6) > expected_bits_per_byte(DEFAULT_PRESET, 10**6)


@pytest.mark.parametrize(
    "changes, tokens",
    [
        ({}, 50_000),
        ({}, 10_000_000),
        ({"parameters": 104_000_000, "trained_parameters": 104_000_000}, 10**6),
        ({"parameters": 30_000, "trained_parameters": 30_000}, 10**6),
        ({"trained_parameters": 10**6}, 10**6),
        ({"vocab_size": 151_936}, 10**6),
        ({"stage": "full_sft"}, 10**6),
        ({"begins_with": "imported"}, 10**6),
        ({"different_tokens": 100_000}, 10**6),  # ten passes over it
        ({"different_tokens": None}, 10**6),
    ],
)
def test_beyond_the_points_there_is_no_expectation(changes, tokens):
    assert expected_bits_per_byte(Description(**vars(DEFAULT_PRESET) | changes), tokens) is None
