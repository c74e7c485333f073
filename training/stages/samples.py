"""What the model writes while it learns: numbers say how fast, samples say what."""

from inference.writer import end_ids
from model.generation import generate_batch, new_generator
from model.sampling import Sampling

PROMPTS = ("Once upon a time", "The most important thing", "从前", "今天天气")
QUESTIONS = ("Hello! Who are you?", "What is the capital of France?", "你好！你是谁？", "法国的首都是哪里？")


def continue_prompts(run, model, tokenizer, max_new_tokens: int = 48) -> str:
    """A continuation of each of `PROMPTS`, as text to print; draws from random numbers of its own."""
    prompts = [[tokenizer.bos_id, *tokenizer.encode(prompt)] for prompt in PROMPTS]
    return _shown(PROMPTS, _write(run, model, prompts, max_new_tokens, end_ids(tokenizer)), tokenizer)


def answer_questions(run, model, tokenizer, renderer, max_new_tokens: int = 48) -> str:
    """An answer to each of `QUESTIONS`, as text to print; `renderer` is a `dataset.rendering.ChatRenderer`."""
    prompts = [renderer.prompt([{"role": "user", "content": question}]) for question in QUESTIONS]
    return _shown(QUESTIONS, _write(run, model, prompts, max_new_tokens, end_ids(tokenizer, renderer)), tokenizer)


def _write(run, model, prompts, max_new_tokens: int, eos_ids: set[int]) -> list[list[int]]:
    with run.inference():
        return generate_batch(
            model,
            prompts,
            max_new_tokens=max_new_tokens,
            sampling=Sampling(temperature=0.8, top_p=0.9),
            eos_ids=eos_ids,
            generator=new_generator(run.device, seed=run.args.seed),
            stop=run.poll,  # never says stop; leaves when a signal came
        )


def _shown(prompts, answers, tokenizer) -> str:
    lines = [f"  {prompt} | {tokenizer.decode(answer)}" for prompt, answer in zip(prompts, answers)]
    return "\n".join(line.replace("\n", " ") for line in lines)
