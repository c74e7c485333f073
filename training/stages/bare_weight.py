"""The flags of the exports for what a bare MiniMind weight does not tell: its shape, as far as no tensor shows it."""

from dataset.command_line import positive
from training.stages.arguments import add_size_arguments


def add_bare_weight_arguments(parser) -> None:
    group = parser.add_argument_group("what a bare MiniMind weight does not tell")
    add_size_arguments(group.add_argument)
    group.add_argument("--rope_theta", type=positive, metavar="X")
    group.add_argument("--rms_norm_eps", type=positive, metavar="X")
