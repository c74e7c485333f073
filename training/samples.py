"""What the model writes while it learns: numbers say how fast, samples say what."""

from model.generation import generate_batch, new_generator
from model.sampling import Sampling

PROMPTS = ("Once upon a time", "The most important thing", "从前", "今天天气")


def continue_prompts(run, model, tokenizer, max_new_tokens: int = 48) -> str:
    """A continuation of each of `PROMPTS`, as text to print; draws from random numbers of its own."""
    prompts = [[tokenizer.bos_id, *tokenizer.encode(prompt)] for prompt in PROMPTS]
    with run.inference():
        answers = generate_batch(
            model,
            prompts,
            max_new_tokens=max_new_tokens,
            sampling=Sampling(temperature=0.8, top_p=0.9),
            eos_ids=(tokenizer.eos_id,),
            generator=new_generator(run.device, seed=run.args.seed),
            stop=run.poll,  # never says stop; leaves when a signal came
        )
    lines = [f"  {prompt} | {tokenizer.decode(answer)}" for prompt, answer in zip(PROMPTS, answers)]
    return "\n".join(line.replace("\n", " ") for line in lines)
