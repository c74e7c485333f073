"""The training stages, as the tests run them: a new stage is one more entry here."""

import importlib
from dataclasses import dataclass, field
from types import ModuleType

SIZE = 32
SHAPE = {
    "hidden_size": SIZE,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 48,
}
NEW_NETWORK = ("--tokenizer_path={folder}/tokenizer", *(f"--{name}={size}" for name, size in SHAPE.items()))

CHATS = ("chat_a.jsonl:0.7", "chat_b.jsonl:0.3")
PAIRS = ("pairs_a.jsonl", "pairs_b.jsonl")

# Lines that cannot be used, and what is said of them.
CUT = ('{"text": ', "not valid JSON")
BAD_CHATS = (
    CUT,
    ('{"conversations": [{"role": "user", "content": "no answer"}]}', "assistant"),
    ('{"conversations": [{"role": "robot", "content": "x"}]}', "role"),
)
BAD_PROMPTS = (
    CUT,
    ('{"conversations": [{"role": "assistant", "content": "x"}]}', "nothing is asked"),
    ('{"conversations": [{"role": "robot", "content": "x"}]}', "role"),
)
BAD_PAIRS = (
    CUT,
    ('{"prompt": "a", "chosen": "b", "rejected": "b"}', "are the same"),
    ('{"prompt": "a", "chosen": "b"}', "rejected"),
)


@dataclass(frozen=True, repr=False)
class Stage:
    """A stage, whose script is `train_<name>.py` and whose weight is called `<name>_<hidden>.pth`.

    In flags, `{folder}` stands for the folder of the workshop.
    """

    name: str
    data: tuple[str, ...]  # files of the workshop, with weights
    learns: tuple[str, ...]  # flags of a run of more than 20 steps in which the loss falls
    changed: tuple[str, str]  # a flag that --resume refuses to change, and what is said of it
    bad_lines: tuple[tuple[str, str], ...]
    foreign: tuple[str, str]  # a file that is for another stage, and what is said of it
    default: str | None  # the weight it begins with where none is named
    begins: tuple[str, ...] = ("--from_weight={folder}/start.pth",)
    needs: tuple[str, ...] = ()  # flags without which it does not run in the workshop
    variants: dict[str, tuple[str, ...]] = field(default_factory=dict)  # flags that change what a run must remember
    writes: str = "network"  # or "adapters", or "reward model"
    samples: bool = False  # whether it learns from answers of its own, so that its loss need not fall

    @property
    def script(self) -> ModuleType:
        return importlib.import_module(f"train_{self.name}")


STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            "pretrain",
            ("a.jsonl:0.7", "b.jsonl:0.3"),
            learns=("--epochs=2",),
            changed=("--schedule=cosine", "schedule was wsd, is cosine"),
            bad_lines=(CUT, ('{"text": 3}', "text")),
            foreign=("chat_a.jsonl", "this is a conversation, for train_full_sft.py"),
            default=None,
            begins=NEW_NETWORK,
            variants={"adamw": ("--optimizer=adamw",), "experts": ("--num_experts=4", "--router_aux_loss_coef=0.1")},
        ),
        Stage(
            "full_sft",
            CHATS,
            learns=("--epochs=4", "--learning_rate=0.005"),
            changed=("--optimizer=adamw", "optimizer was muon, is adamw"),
            bad_lines=BAD_CHATS,
            foreign=("a.jsonl", "this is a text, for train_pretrain.py"),
            default="pretrain",
            variants={"adamw": ("--optimizer=adamw",)},
        ),
        Stage(
            "lora",
            CHATS,
            learns=("--epochs=4", "--learning_rate=0.005", "--lora_rank=4"),
            changed=("--lora_rank=3", "rank"),
            bad_lines=BAD_CHATS,
            foreign=("a.jsonl", "this is a text, for train_pretrain.py"),
            default="full_sft",
            writes="adapters",
        ),
        Stage(
            "dpo",
            PAIRS,
            learns=("--epochs=6", "--learning_rate=0.003"),
            changed=("--beta=0.5", "beta"),
            bad_lines=BAD_PAIRS,
            foreign=("a.jsonl", "this is a text, for train_pretrain.py"),
            default="full_sft",
            variants={
                "live": ("--no_precompute_ref",),
                "lora": ("--lora", "--learning_rate=0.01"),
                "kto": ("--loss_type=kto",),
                "lora_live": ("--lora", "--no_precompute_ref", "--learning_rate=0.01"),
            },
        ),
        Stage(
            "reason",
            ("thoughts_a.jsonl", "thoughts_b.jsonl"),
            learns=("--epochs=5", "--learning_rate=0.005", "--max_seq_len=64", "--tag_weight=3"),
            changed=("--tag_weight=2", "tag_weight"),
            bad_lines=(
                *BAD_CHATS,
                ('{"conversations": [{"role": "user", "content": "x", "reasoning_content": "y"}]}', "reasoning"),
                ('{"conversations": [{"role": "assistant", "reasoning_content": 3}]}', "reasoning_content"),
            ),
            foreign=("a.jsonl", "this is a text, for train_pretrain.py"),
            default="full_sft",
        ),
        Stage(
            "reward",
            PAIRS,
            learns=("--epochs=6", "--learning_rate=0.005"),
            changed=("--center=0.5", "center"),
            bad_lines=BAD_PAIRS,
            foreign=("a.jsonl", "this is a text, for train_pretrain.py"),
            default="full_sft",
            variants={"lora": ("--lora", "--learning_rate=0.01")},
            writes="reward model",
        ),
        Stage(
            "distill",
            CHATS,
            learns=("--epochs=4", "--learning_rate=0.005"),
            changed=("--temperature=2", "temperature"),
            bad_lines=BAD_CHATS,
            foreign=("pairs_a.jsonl", "this is a preference between answers"),
            default="pretrain",
            needs=("--teacher_weight={folder}/teacher.pth",),
            variants={
                "kept": ("--teacher_top_k=8",),
                "sampled": ("--on_policy=0.5", "--max_new_tokens=6"),
            },
        ),
        Stage(
            "grpo",
            CHATS,
            learns=("--epochs=6", "--learning_rate=0.01"),
            changed=("--group_size=2", "group_size"),
            bad_lines=BAD_PROMPTS,
            foreign=("a.jsonl", "this is a text, for train_pretrain.py"),
            default="full_sft",
            needs=("--reward={folder}/my_reward.py:letters", "--max_new_tokens=6", "--group_size=4"),
            variants={
                "several": (
                    *("--mini_batches=2", "--kl_coef=0.1", "--dynamic_sampling=1", "--loss_type=gspo"),
                    *("--ptx_weight=0.1", "--ptx_path", "{folder}/chat_b.jsonl", "{folder}/b.jsonl"),
                )
            },
            samples=True,
        ),
        Stage(
            "ppo",
            CHATS,
            learns=("--epochs=6", "--learning_rate=0.01", "--kl_target=2"),
            changed=("--gamma=0.5", "gamma"),
            bad_lines=BAD_PROMPTS,
            foreign=("a.jsonl", "this is a text, for train_pretrain.py"),
            default="full_sft",
            needs=(
                *(
                    "--reward_weight={folder}/reward.pth",
                    "--ptx_weight=0.1",
                    "--ptx_path={folder}/chat_b.jsonl",
                    "--max_new_tokens=6",
                ),
                *(
                    "--mini_batches=2",
                    "--inner_epochs=2",
                    "--critic_warmup=3",
                    "--stop_cut=0",
                    "--stop_kl=0",
                    "--stop_entropy=0",
                ),
            ),
            samples=True,
        ),
    )
}
