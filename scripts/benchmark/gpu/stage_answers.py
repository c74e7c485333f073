"""Answers as the server writes them: texts of different lengths join and leave one running batch.

python -m scripts.benchmark.gpu.stage_answers --weight_path FILE --out_dir FOLDER --device cuda
"""

from scripts.benchmark.program import run_program

PROMPTS = "Who are you?", "从前有一只狐狸，" * 12, "2 + 3 =", "What is the capital of France? " * 8
NEW_TOKENS = 24


def main(flags: list[str]) -> None:
    """Raises `SproutError` where the network computes what is not a number."""
    from inference.arguments import add_weight_arguments
    from inference.benchmark.answers import written_answers
    from inference.weights import open_network
    from inference.writer import ready_to_generate
    from model.device import choose_device
    from training.stages.arguments import StageParser

    parser = StageParser(__doc__)
    add_weight_arguments(parser)
    parser.set_defaults(hidden_size=None)
    args = parser.parse_args(flags)
    device = choose_device(args.device, args.dtype)
    loaded = open_network(args, "full_sft", device, {}, print)
    precision = ready_to_generate(loaded.model, device, args.dtype)
    prompts = [loaded.tokenizer.encode(prompt) for prompt in PROMPTS]
    how = {"decode": loaded.tokenizer.decode, "end_ids": (), "stops": (), "max_new_tokens": NEW_TOKENS, "slots": 2}
    with precision():
        answers = written_answers(loaded.model, prompts, **how, vocabulary=loaded.writable)
    print(*map(repr, answers), sep="\n")


if __name__ == "__main__":
    run_program(__doc__, lambda *flags: main(list(flags)))
