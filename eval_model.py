"""Try a model: chat with it, let it continue a text, or measure how well it does.

    python eval_model.py --model_mode 1                                  # chats with the fine-tuned model
    python eval_model.py --model_mode 1 --prompt "What is the capital of France?" --system "Be brief."
    python eval_model.py --model_mode 0 --prompt "Once upon a time" --temperature 0.7 --seed 1
    python eval_model.py --model_mode 1 --data_path chats.jsonl --json   # loss, perplexity, token accuracy
    python eval_model.py --model_mode 1 --data_path chats.jsonl --answers --show 5   # exact match by skill
    python eval_model.py --model_mode 1 --lora medic                     # with the adapters out/lora/medic_512.pth
    python eval_model.py --model_mode 1 --tools calculator my_tools.py   # it may call functions (docs/tools.md)

A pretrained model (mode 0) has read texts and knows nothing else: it goes on writing whatever you begin. Fine-tuned
ones (1 to 3) answer. Each next token is drawn from  softmax(logits / temperature),  cut down to the most probable
ones by --top_k, --top_p and --min_p.

Text goes to standard output, everything else to standard error. In a terminal, Ctrl-C stops an answer and Ctrl-D ends.
Lines of a pipe or a file are answered one after the other. With --prompt or --auto_test it answers and ends.
"""

import io
import os
import sys
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

from inference.arguments import (
    ANSWERED_AT_ONCE,
    WEIGHT_NAMES,
    add_sampling_arguments,
    add_task_arguments,
    add_weight_arguments,
    refuse_contradictions,
)
from inference.growing_file import GrowingFile, refuse_taken
from inference.terminal import figures_in_words, in_terminal, is_piped_in, piped_lines, say, typed_lines
from model.json_text import json_text
from training.stages.arguments import StageParser, add_size_arguments, run_main, size_overrides


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    add_task_arguments(parser)
    add_size_arguments(add_weight_arguments(parser).add_argument)
    add_sampling_arguments(parser)
    args = parser.parse_args(argv)
    refuse_contradictions(args)
    if args.save_answers is not None:
        refuse_taken("--save_answers", args.save_answers, args.resume)
    return args


def main(argv=None):
    args = parse_arguments(argv)
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch asks Linux for huge pages: a CPU reads weights faster

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from dataset.records.reading import check_file
    from inference.weights import open_network
    from model.device import choose_device
    from model.files.writable import refuse_unwritable
    from model.sampling import Sampling

    # Refuse what cannot be done before the network is read
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # the terminal's encoding may lack a character of the model
    if args.data_path:
        check_file(args.data_path)
    if args.save_answers:
        refuse_unwritable(Path(args.save_answers).parent, "--save_answers")
    device = choose_device(args.device, args.dtype)
    sampling = Sampling(args.temperature, args.top_k, args.top_p, args.min_p, args.repetition_penalty)
    toolbox = new_toolbox(args.tools)

    # The network, and one of four things done with it
    loaded = open_network(args, WEIGHT_NAMES[args.model_mode], device, size_overrides(args), say)
    sampling = replace(sampling, vocabulary=loaded.writable)
    if not args.data_path and not args.auto_test:
        advise(args.model_mode, loaded)
    if args.answers:
        examine(args, loaded, device, toolbox)
    elif args.data_path:
        score(args, loaded, device)
    elif args.model_mode == 0 or (args.auto_test and loaded.is_base):  # a base never answers
        continue_texts(args, loaded, device, sampling)
    else:
        chat(args, loaded, device, sampling, toolbox)


def advise(mode: int, loaded) -> None:
    """Says which mode suits a network of Sprout where this one does not: what it writes would look like a fault."""
    if mode == 0 and not loaded.is_base and loaded.stage != "imported":
        say("note: this network has learned to answer, but here it goes on with texts: --model_mode 1 chats with it")
    elif mode and loaded.is_base:
        say("note: this network has read texts and has not learned to answer: --model_mode 0 lets it go on with a text")


def score(args, loaded, device) -> None:
    """Prints how well the network predicts the documents of a file, or the answers in its conversations."""
    from dataset.records.measured import kind_of_file
    from inference.evaluation import evaluate_file

    kind, format_found = kind_of_file(args.data_path, ("text", "chat"), args.format)
    say(f"{args.data_path}: format {format_found.name}")
    sizes = {"max_seq_len": args.max_seq_len, "batch_size": args.batch_size}
    figures = evaluate_file(loaded, args.data_path, kind, device, **sizes)
    print_result(args, loaded, figures, figures_in_words(figures))


def examine(args, loaded, device, toolbox) -> None:
    """Prints how often the network gives exactly the last answer of a conversation in a file."""
    from dataset.rendering import ChatRenderer
    from inference.answer_report import accuracies, table, wrong_answers
    from inference.exact_match import read_questions
    from inference.saved_answers import answer_in_parts

    renderer = ChatRenderer(loaded.tokenizer)
    questions = read_questions(args.data_path, renderer, toolbox.schemas if toolbox else (), args.format)
    batch_size = args.batch_size or ANSWERED_AT_ONCE
    with saving(args, renderer, loaded, toolbox) as file:
        answer = answering(args, loaded, device, renderer, toolbox, batch_size, to_the_end=file is not None)
        answers, counts = answer_in_parts(questions, answer, batch_size, file)
    if toolbox:
        from inference.tools.answering import calls_in_words

        say(calls_in_words(counts, len(answers)))
    positions = loaded.model.config.max_position_embeddings
    if too_long := sum(len(question.prompt) >= positions for question in questions):
        say(f"questions that fill the {positions:,} positions of the network, and so count as wrong: {too_long:,}")
    if endless := sum(answer.lost_in_thought for answer in answers):
        say(f"thoughts without an end, and so without an answer: {endless:,}; more --max_new_tokens may let them end")
    for line in wrong_answers(questions, answers, args.show):
        print(line, file=sys.stderr if args.json else sys.stdout)
    result = accuracies(questions, answers)
    print_result(args, loaded, result, "\n".join(table(result)))


def answering(args, loaded, device, renderer, toolbox, batch_size: int, to_the_end: bool):
    """A function from questions to the network's answers and counts of its calls, as `answer_in_parts` takes it."""
    from inference.exact_match import answer_all
    from inference.writer import ready_to_generate

    settings = {
        "max_new_tokens": args.max_new_tokens,
        "batch_size": batch_size,
        "precision": ready_to_generate(loaded.model, device, args.dtype),
        "vocabulary": loaded.writable,
    }
    if toolbox:
        from inference.tools.answering import answer_all_with_tools

        return partial(answer_all_with_tools, loaded.model, renderer=renderer, toolbox=toolbox, **settings)
    settings |= {"end_ids": loaded.tokenizer.end_ids | {renderer.end_id}, "to_the_end": to_the_end}

    def answer(some, note):
        return answer_all(loaded.model, loaded.tokenizer, some, note=note, **settings), Counter()

    return answer


def saving(args, renderer, loaded, toolbox):
    """The file of --save_answers as a context, or None where there is none to write.

    Its identity is what --resume has to find unchanged, in words that messages can use; the questions themselves are
    compared one by one.
    """
    if not args.save_answers:
        return nullcontext()
    from model.fingerprint import identity_of

    identity = {"network": identity_of(loaded.model, loaded.tokenizer, renderer.variant)}
    identity |= {f"--{name}": getattr(args, name) for name in ("lora_scale", "max_new_tokens", "dtype")}
    identity["--tools"] = toolbox.identity if toolbox else None
    return GrowingFile(args.save_answers, identity, args.resume, "--save_answers")


def print_result(args, loaded, result: dict, words: str) -> None:
    """Prints a result in words, or as a line of JSON that also names the weight and the file."""
    names = "lora", "lora_scale", "tokenizer_path", "rope_scaling_factor"
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    of_what = {"weight": loaded.source, **given, "file": args.data_path}
    print(json_text(result | of_what) if args.json else words)


def continue_texts(args, loaded, device, sampling) -> None:
    """Continues each prompt, or what a user types or pipes in."""
    from inference import dialogue
    from inference.built_in import prompts_for

    writer = new_writer(args, loaded, device, sampling, loaded.tokenizer.end_ids)
    hint = "Begin a text and press Enter; /help lists commands, Ctrl-C stops a text, Ctrl-D ends."
    if lines := lines_of_user(args, hint):
        dialogue.continue_texts(lines, writer, loaded.tokenizer)
    else:
        for prompt in args.prompt or prompts_for(loaded.facts):
            dialogue.continue_text(writer, loaded.tokenizer, prompt)


def chat(args, loaded, device, sampling, toolbox) -> None:
    """Answers each prompt in a conversation of its own, or holds one conversation with a user."""
    from dataset.rendering import ChatRenderer, for_chats
    from inference.built_in import questions_for
    from inference.chat import Chat
    from inference.dialogue import answer, talk
    from inference.weights import positions_read

    if toolbox:
        from inference.tools.chatting import answer_with_tools

        answer = partial(answer_with_tools, toolbox)

    renderer = ChatRenderer(for_chats(loaded.tokenizer, loaded.imported))
    writer = new_writer(args, loaded, device, sampling, loaded.tokenizer.end_ids | {renderer.end_id})
    positions = positions_read(loaded.model.config, args.max_seq_len)

    def new_chat() -> Chat:
        return Chat(renderer, positions, args.max_new_tokens, args.system, toolbox.schemas if toolbox else ())

    hint = "Ask something and press Enter; /help lists commands, Ctrl-C stops an answer, Ctrl-D ends."
    if lines := lines_of_user(args, hint, mark="> "):
        talk(lines, new_chat(), writer, show_thought=args.think, answer=answer)
    else:
        for question in args.prompt or questions_for(loaded.facts):
            print(f"> {question}", flush=True)
            answer(new_chat(), writer, question, show_thought=args.think)
            print(flush=True)


def new_toolbox(sources):
    """The tools that --tools names; None without the flag."""
    if not sources:
        return None
    from inference.tools.toolbox import Toolbox

    return Toolbox(sources)


def lines_of_user(args, hint: str, mark: str | None = None):
    """The lines that a user types in a terminal, after a hint, or pipes in; None if there are none to come."""
    if args.prompt or args.auto_test:
        return None
    if in_terminal():
        return typed_lines(hint)
    lines = piped_lines(mark) if is_piped_in() else iter(())
    first = next(lines, None)
    return None if first is None else chain([first], lines)


def new_writer(args, loaded, device, sampling, end_ids):
    """The network as a writer of texts that end with one of `end_ids`."""
    from inference.writer import Writer

    settings = {"sampling": sampling, "max_new_tokens": args.max_new_tokens, "seed": args.seed, "dtype": args.dtype}
    return Writer(loaded.model, loaded.tokenizer, device, end_ids=end_ids, **settings)


if __name__ == "__main__":
    run_main(main)
