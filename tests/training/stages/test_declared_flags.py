"""Every flag of every stage says whether it changes the result; those that do identify a run for --resume."""

import importlib

import pytest

from training.stages.arguments import COMPARED, NOTHING, RESULT, StageParser

STAGES = ("pretrain", "full_sft", "lora", "dpo", "reason", "reward", "distill")
# What the loss or the optimizer of any stage depends on, beside what is compared by its content.
EVERYWHERE = {"seed", "optimizer", "weight_decay", "adam_beta2", "grad_clip", "freeze_layers"}
WEIGHTS = ("desirable_weight", "undesirable_weight")
OF_A_STAGE = {
    "pretrain": {"train_only"},
    "dpo": {"loss_type", "beta", "label_smoothing", "gamma", "odds_weight", "sft_weight", *WEIGHTS},
    "reason": {"tag_weight"},
    "reward": {"loss_type", "hinge_margin", "center"},
    "distill": {"loss_type", "alpha", "temperature", "jsd_beta", "on_policy", "max_new_tokens"},
}


@pytest.fixture
def parsers(monkeypatch):
    """The parsers that are made while the test runs."""
    made = []
    begin = StageParser.__init__

    def remember(self, *words, **settings):
        begin(self, *words, **settings)
        made.append(self)

    monkeypatch.setattr(StageParser, "__init__", remember)
    return made


@pytest.mark.parametrize("stage", STAGES)
def test_every_flag_says_what_it_decides(stage, parsers):
    args = importlib.import_module(f"train_{stage}").parse_arguments([])
    (parser,) = parsers
    flags = [action for action in parser._actions if action.dest != "help"]
    undeclared = [action.option_strings for action in flags if not hasattr(action, "decides")]
    assert not undeclared and len(flags) > 40
    assert {action.decides for action in flags} == {RESULT, COMPARED, NOTHING}
    assert args.changing_the_result().keys() == EVERYWHERE | OF_A_STAGE.get(stage, set())


def test_an_undeclared_flag_is_found(parsers):
    """The test above can fail."""
    parser = StageParser("A stage.")
    parser.flags("one", RESULT)("--declared", default=1)
    parser.add_argument("--undeclared", default=2)
    args = parser.parse_args([])
    assert args.changing_the_result() == {"declared": 1} and "undeclared" not in args.decides


def test_what_flags_decide_is_no_flag_itself():
    parser = StageParser("A stage.")
    parser.flags("one", NOTHING)("--declared", default=1)
    assert vars(parser.parse_args([])) == {"config": None, "declared": 1}
