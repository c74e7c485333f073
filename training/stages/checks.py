"""What a stage checks from time to time during training: the validation loss, and samples of the network's text."""

from dataclasses import dataclass

from model.errors import in_short
from model.generation import generate_batch, new_generator
from model.likelihood import evaluate
from model.sampling import Sampling
from training.engine import distributed

PROMPTS = ("Once upon a time", "The most important thing", "从前", "今天天气")


@dataclass(frozen=True)
class ValidationResult:
    """The result of a validation: `measures` for metrics.jsonl, with names that begin with `val_`, and words."""

    measures: dict[str, float]
    words: str


def validate(model, rows, machine, batch_size: int) -> ValidationResult:
    """Scores the held-out rows, shared out among the processes; a signal ends the run between two batches."""
    batches = rows.batches(batch_size, distributed.rank(), distributed.world_size())
    settings = {"move": machine.move, "autocast": machine.inference, "poll": machine.poll}
    scored = evaluate(model, batches, gathered=distributed.gathered, **settings)
    if rows.bytes:
        name, value = "val_bits_per_byte", scored.bits_per_byte(rows.bytes_of(scored.targets))
        words = f"{value:.4f} bits per byte"
    else:
        name, value = "val_token_accuracy", scored.token_accuracy
        words = f"token accuracy {value:.1%}"
    words = f"validation loss {scored.loss:.4f}, perplexity {in_short(scored.perplexity, 2)}, {words}"
    return ValidationResult({"val_loss": scored.loss, name: value}, words)


def continue_prompts(model, tokenizer, machine, seed: int, max_new_tokens: int = 48) -> list[dict]:
    """A continuation of each of `PROMPTS`, for `Step.show`; its random numbers do not affect those of training."""
    ids = [[tokenizer.bos_id, *tokenizer.encode(prompt)] for prompt in PROMPTS]
    return samples_of(PROMPTS, write_samples(model, ids, max_new_tokens, tokenizer, machine, seed), tokenizer)


def write_samples(model, prompts, max_new_tokens: int, spelling, machine, seed: int) -> list[list[int]]:
    """Ids that continue each prompt of ids; none where it takes all positions. spelling: tokenizer, `ChatRenderer`."""
    fitting = [prompt for prompt in prompts if len(prompt) < model.config.max_position_embeddings]
    sampling = Sampling(temperature=0.8, top_p=0.9, vocabulary=spelling.vocab_size)  # a network may have more rows
    drawn = {"sampling": sampling, "eos_ids": spelling.end_ids, "generator": new_generator(machine.device, seed=seed)}
    with machine.inference():  # `poll` never stops the sampling; it raises after a signal
        written = iter(generate_batch(model, fitting, max_new_tokens=max_new_tokens, stop=machine.poll, **drawn))
    return [next(written) if prompt in fitting else [] for prompt in prompts]


def samples_of(prompts, answers, tokenizer) -> list[dict]:
    """What `Step.show` prints: each prompt, and the text of its answer, which is given as ids."""
    return [{"prompt": each, "answer": tokenizer.decode(answer)} for each, answer in zip(prompts, answers)]
