"""What the short runs of all stages begin with: a few records of each kind, and small networks of random numbers."""

import json
import runpy
from itertools import islice
from pathlib import Path

from scripts.benchmark.program import run_program

BYTES = 8_000  # of texts and of each file of sample data, or one record
CHATS = 48  # at least, since a long one is a row of its own, and cut
# Of these nobody gives files: the kind of sample data, and the fields that are kept.
SAMPLES = {
    "pairs": ("preference", ("prompt", "chosen", "rejected")),
    "thoughts": ("reason", ("conversations",)),
    "prompts": ("prompts", ("question", "answer")),
}
REWARD = '''"""A reward in which answers differ, whatever they say."""


def letters(prompts, completions, **columns):
    return [len(set(text)) / 50 for text in completions]
'''


def make(folder: Path, sample: Path, shape: str, texts: list[str], chats: list[str]) -> None:
    """Makes all files, unless they are there. sample: an --out_dir with the sample data. shape: flags of a network."""
    from dataset.sample.files import sample_file

    if (made := folder / "made").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    given = {"texts": texts or [sample_file("pretrain", sample)], "chats": chats or [sample_file("sft", sample)]}
    for name, paths in given.items():
        with open(folder / f"{name}.jsonl", "wb") as target:
            for path in paths:
                with open(path, "rb") as source:
                    lines = source.readlines(BYTES // len(paths))
                    more = max(0, CHATS - len(lines)) if name == "chats" else 0
                    target.writelines([*lines, *islice(source, more)])
    for name, (kind, fields) in SAMPLES.items():
        with open(sample_file(kind, sample), encoding="utf-8") as source:
            records = map(json.loads, source.readlines(BYTES))
            kept = [{field: each[field] for field in fields} for each in records if each["language"] == "en"]
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in kept), encoding="utf-8")
    (folder / "reward.py").write_text(REWARD, encoding="utf-8")
    make_networks(folder, shape)
    made.touch()


def make_networks(folder: Path, shape: str) -> None:
    """start.pth, teacher.pth and reward.pth. As initialised, the parts of a network are zero that it adds up, so that a
    fault in one of them would not be seen."""
    import torch

    from model.files.checkpoint import save_weights
    from model.files.reward import Spread
    from model.reward import RewardModel
    from model.text.tokenizer import Tokenizer
    from model.transformer import Transformer
    from training.stages.starting_point import new_config

    tokenizer = Tokenizer.load()
    args = runpy.run_path("train_pretrain.py")["parse_arguments"](shape.split())
    config = new_config(args, tokenizer.vocab_size)
    for seed, name in enumerate(("start", "teacher", "reward")):
        torch.manual_seed(seed)
        network = Transformer(config)
        network = RewardModel.of(network) if name == "reward" else network
        for parameter in network.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.02)
        stage, facts = ("reward", Spread(0.0, 1.0, 1).facts()) if name == "reward" else ("full_sft", {})
        save_weights(folder / f"{name}.pth", network, tokenizer, stage=stage, facts=facts)


if __name__ == "__main__":
    run_program(__doc__)
