"""What the network answers while it learns to chat."""

from training.stages.checks import samples_of, write_samples

QUESTIONS = ("Hello! Who are you?", "What is the capital of France?", "你好！你是谁？", "法国的首都是哪里？")


def answer_questions(model, renderer, machine, seed: int, max_new_tokens: int = 48) -> list[dict]:
    """An answer to each of `QUESTIONS`, for `Step.show`; `renderer` is a `dataset.rendering.ChatRenderer`."""
    prompts = [renderer.prompt([{"role": "user", "content": question}]) for question in QUESTIONS]
    answers = write_samples(model, prompts, max_new_tokens, renderer, machine, seed)
    return samples_of(QUESTIONS, answers, renderer.tokenizer)
