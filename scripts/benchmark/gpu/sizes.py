"""How large each measurement is: on a card, and in a rehearsal that only shows that all of them run."""

from dataclasses import dataclass, field

from scripts.benchmark.program import run_program


@dataclass(frozen=True)
class Steps:
    """The rate of a run is measured after `warm_up` steps: for `most` steps, or until `least` steps and `seconds` are
    over."""

    warm_up: int
    least: int
    most: int
    seconds: float = 10.0


@dataclass(frozen=True)
class Sizes:
    """`few_bytes`: of texts for runs that ask little of them. `peer_steps`: to warm up, and to measure."""

    device: str = "cuda"
    product: int = 8192  # rows and columns
    shapes: dict[str, str] = field(default_factory=lambda: {name: f"--preset {name}" for name in PRESETS})
    fixed: tuple[tuple[str, int, int], ...] = (  # preset, rows at once, tokens in a row
        ("26m", 64, 512),
        ("26m", 256, 512),
        ("104m", 32, 1024),
        ("64m", 64, 512),
        ("1b", 8, 1024),
    )
    vocabulary: dict[str, int] = field(default_factory=lambda: {"1b": 151_936})
    own_steps: Steps = Steps(60, 60, 240)
    steps: Steps = Steps(10, 20, 150)
    chat_length: int = 768
    decoding: tuple[tuple[str, int], ...] = tuple((d, n) for d in ("bfloat16", "float32") for n in (1, 64, 256))
    new_tokens: int = 128
    writer: str = "26m"  # the preset that generates
    bits_steps: int = 40
    half: str = "float16"  # the type that needs a scale of the loss; no CPU has it
    checks: str = ""  # a whole run with its own plan
    memory_rows: dict[str, tuple[int, int, int]] = field(  # two batches, and tokens in a row
        default_factory=lambda: {
            "tiny": (64, 256, 512),
            "26m": (16, 64, 512),
            "64m": (16, 64, 512),
            "104m": (16, 32, 1024),
            "1b": (2, 8, 1024),
        }
    )
    peer: str = "--hidden_size 512 --num_hidden_layers 8"
    peer_rows: int = 32
    peer_steps: tuple[int, int] = (40, 120)
    few_bytes: int = 4_000_000
    flags: str = ""  # of every run


PRESETS = ("tiny", "26m", "64m", "104m", "1b")
_SMALL = "--hidden_size 32 --num_hidden_layers 1 --num_attention_heads 2 --num_key_value_heads 1 --intermediate_size 64"

CARD = Sizes()
REHEARSAL = Sizes(
    device="cpu",
    product=64,
    shapes=dict.fromkeys(PRESETS, _SMALL),
    fixed=(("26m", 2, 32), ("1b", 1, 32)),
    vocabulary={"1b": 7000},
    own_steps=Steps(1, 3, 3),
    steps=Steps(1, 3, 3),
    chat_length=256,
    decoding=(("bfloat16", 1), ("float32", 2)),
    new_tokens=4,
    writer="tiny",
    bits_steps=12,
    half="bfloat16",
    checks="--batch_size 2 --accumulation_steps 1 --max_steps 4 --eval_interval 2 --sample_interval 2",
    memory_rows={"tiny": (1, 2, 32)},
    peer="--hidden_size 64 --num_hidden_layers 1 --num_workers 0 --device cpu",
    peer_rows=2,
    peer_steps=(2, 4),
    flags="--device cpu --compile off",
)


if __name__ == "__main__":
    run_program(__doc__)
