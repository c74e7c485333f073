"""Fixtures of the tests that run whole stages."""

import pytest

from tests.stages.workshop import Workshop


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Workshop:
    return Workshop.create(tmp_path_factory.mktemp("workshop"))
