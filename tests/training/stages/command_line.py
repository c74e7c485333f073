"""A command line with the flags of a stage, parsed or refused."""

import pytest

from model.errors import UsageError
from training.stages.arguments import (
    StageParser,
    add_data_arguments,
    add_model_arguments,
    add_optimization_arguments,
    add_run_arguments,
)


def parse(*words: str, start_from: str | None = None):
    parser = StageParser("A stage.")
    add_data_arguments(parser, "texts")
    add_model_arguments(parser, start_from=start_from)
    add_optimization_arguments(parser, optimizer="muon", weight_decay=0.1)
    add_run_arguments(parser, weight_name="stage")
    return parser.parse_args(words)


def refusal(*words: str) -> str:
    """The error of a command line that cannot be carried out: one line."""
    with pytest.raises(UsageError) as error:
        parse(*words)
    assert "\n" not in str(error.value)
    return str(error.value)
