"""Try a model: chat with it, let it continue a text, or measure how well it does.

    python eval_model.py --model_mode 1                                  # chats with the fine-tuned model
    python eval_model.py --model_mode 1 --prompt "What is the capital of France?" --system "Be brief."
    python eval_model.py --model_mode 0 --prompt "Once upon a time" --temperature 0.7 --seed 1
    python eval_model.py --model_mode 1 --data_path chats.jsonl --json   # loss, perplexity, token accuracy
    python eval_model.py --model_mode 1 --data_path chats.jsonl --answers --show 5   # exact match by skill
    python eval_model.py --model_mode 1 --lora medic                     # with the adapters out/lora/medic_512.pth

A pretrained model (mode 0) has read texts and knows nothing else: it goes on writing whatever you begin. Fine-tuned
ones (1 to 3) answer. Each next token is drawn from  softmax(logits / temperature),  cut down to the most probable
ones by --top_k, --top_p and --min_p.

Text goes to standard output, everything else to standard error. Outside a terminal, or with --prompt or
--auto_test, it answers and ends, and never asks. In a terminal, Ctrl-C stops an answer and Ctrl-D ends.
"""

import io
import json
import math
import os
import sys
from pathlib import Path

from model.errors import SproutError, UsageError
from training.stages.arguments import (
    SIZE_FLAGS,
    StageParser,
    add_switch,
    count,
    file_name,
    fraction,
    nonnegative,
    positive,
    positive_int,
    run_main,
    size_overrides,
)

WEIGHT_NAMES = ("pretrain", "full_sft", "dpo", "reason")  # of each --model_mode

CHINESE_PROMPTS = ("从前，有一个小女孩", "人工智能是", "今天天气很好，", "中国的首都是")
ENGLISH_PROMPTS = (
    "Once upon a time, there was",
    "The capital of France is",
    "Water boils when",
    "I think that",
)
CHINESE_QUESTIONS = ("你好，你是谁？", "中国的首都是哪里？", "三加五等于几？", "给我讲一个小故事。")
ENGLISH_QUESTIONS = (
    "Hello, who are you?",
    "What is the capital of France?",
    "What is three plus five?",
    "Tell me a little story.",
)

# Rows in a batch where --batch_size is not given: answers take a step for every token, and cheap ones.
SCORED_AT_ONCE, ANSWERED_AT_ONCE = 16, 64


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    group = parser.add_argument_group("what to do")
    modes = ", ".join(f"{mode} {name}" for mode, name in enumerate(WEIGHT_NAMES))
    group.add_argument("--model_mode", type=int, choices=range(4), default=0, help=f"{modes} (%(default)s)")
    what = group.add_mutually_exclusive_group()
    what.add_argument("--prompt", action="append", metavar="TEXT", help="go on from this, or answer it (repeatable)")
    what.add_argument("--auto_test", action="store_true", help="built-in prompts in Chinese and English")
    what.add_argument("--data_path", metavar="FILE", help="score texts or chats: .jsonl, .jsonl.gz, .parquet, .txt")
    group.add_argument("--system", metavar="TEXT", help="the system message that a chat begins with")
    add_switch(group, "think", "show what is thought before an answer (default); --no_think hides it", default=True)
    group.add_argument("--answers", action="store_true", help="with --data_path: greedy answers, by exact match")
    group.add_argument("--show", type=count, default=0, metavar="N", help="with --answers: N that are wrong")
    group.add_argument("--save_answers", metavar="FILE", help="with --answers: each of them, whole, as lines of JSON")
    group.add_argument("--json", action="store_true", help="with --data_path: the result as a line of JSON")
    group.add_argument(
        "--max_seq_len",
        type=positive_int,
        help="tokens in a scored row (texts 512, chats 768); of a chat, all that the network sees (its positions)",
    )
    group.add_argument(
        "--batch_size",
        type=positive_int,
        help=f"rows scored ({SCORED_AT_ONCE}) or answered ({ANSWERED_AT_ONCE}) at once",
    )

    group = parser.add_argument_group("weight")
    group.add_argument("--out_dir", default="out", help="where weights are (%(default)s)")
    group.add_argument(
        "--weight", type=file_name, metavar="NAME", help="its name there (default: that of --model_mode)"
    )
    group.add_argument("--weight_path", metavar="FILE|FOLDER", help="a .pth or an HF folder instead")
    group.add_argument(
        "--lora",
        metavar="NAME|FILE|FOLDER",
        help="with adapters: a name in <out_dir>/lora, a .pth, or peft's folder; on the network they belong to, if no"
        " weight is given",
    )
    group.add_argument(
        "--lora_scale", type=nonnegative, metavar="X", help="how much of the adapters counts; 0: nothing of them (1)"
    )
    group.add_argument("--tokenizer_path", metavar="FOLDER", help="default: the weight's own")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    group.add_argument("--dtype", choices=("auto", "float32", "bfloat16", "float16"), default="auto")
    for name in SIZE_FLAGS:
        group.add_argument(f"--{name}", type=positive_int, metavar="N")

    group = parser.add_argument_group("sampling")
    group.add_argument("--max_new_tokens", type=positive_int, default=256, help="default %(default)s")
    group.add_argument("--temperature", type=nonnegative, default=0.8, help="0: greedy (%(default)s)")
    group.add_argument("--top_k", type=count, default=0, help="the K most probable; 0: all (%(default)s)")
    group.add_argument("--top_p", type=positive, default=0.9, help="the first P of probability (%(default)s)")
    group.add_argument("--min_p", type=fraction, default=0.0, help="from this share of the first on (%(default)s)")
    group.add_argument("--repetition_penalty", type=positive, default=1.0, help="1: none (%(default)s)")
    group.add_argument("--seed", type=count, help="gives the same text again (default: a new one each time)")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_arguments(argv)
    refuse_contradictions(args)

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from dataset.records.reading import check_file
    from inference.terminal import say
    from model.device import choose_device
    from model.files.checkpoint import load_model
    from model.files.disk import refuse_unwritable
    from model.lora import merge_lora
    from model.sampling import Sampling
    from training.stages.adapters import find_adapters

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a model may write what the terminal's encoding has no sign for
    if args.data_path:
        check_file(args.data_path)
    if args.save_answers:
        refuse_unwritable(Path(args.save_answers).parent, "--save_answers")
    device = choose_device(args.device, args.dtype)
    sampling = Sampling(args.temperature, args.top_k, args.top_p, args.min_p, args.repetition_penalty)
    adapters = find_adapters(args.lora, args.out_dir, args.hidden_size) if args.lora else None
    loaded = load_model(
        weight_asked_for(args, adapters),
        tokenizer_path=args.tokenizer_path,
        overrides=size_overrides(args),
        device=device.device,
    )
    say(f"{loaded.source} ({loaded.stage}), {loaded.model.config.num_parameters() / 1e6:.3f} M parameters")
    if adapters:
        adapters = adapters if args.lora_scale is None else adapters.scaled(args.lora_scale)
        adapters.attach(loaded.model)
        merge_lora(loaded.model)  # computes the same, and faster
        say(f"with {adapters}")
    if args.answers:
        examine(args, loaded, device)
    elif args.data_path:
        score(args, loaded, device)
    else:
        write = continue_texts if args.model_mode == 0 else chat
        write(args, loaded, device, sampling)


def refuse_contradictions(args) -> None:
    """Raises `UsageError` for flags that mean nothing together."""
    if (args.json or args.answers) and not args.data_path:
        raise UsageError(f"--{'json' if args.json else 'answers'} is for --data_path, which is not given")
    if args.lora_scale is not None and not args.lora:
        raise UsageError("--lora_scale is for --lora, which is not given")
    if args.show and not args.answers:
        raise UsageError("--show N shows wrong answers of --answers, which is not given")
    if args.save_answers and not args.answers:
        raise UsageError("--save_answers FILE keeps what --answers finds, which is not given")
    if args.save_answers and os.path.lexists(args.save_answers):
        raise UsageError(
            f"--save_answers {args.save_answers} exists already, and is left as it is: choose another name"
        )
    if not args.think and (args.data_path or args.model_mode == 0):
        raise UsageError("--no_think hides thoughts of a chat: give --model_mode 1, 2 or 3, and no --data_path")
    if args.system is not None and (args.data_path or args.model_mode == 0):
        raise UsageError("--system begins a chat: give --model_mode 1, 2 or 3, and no --data_path")


def weight_asked_for(args, adapters=None) -> Path:
    """The weight that the flags name, or adapters remember; the newest where --model_mode or --weight fits several
    sizes."""
    from inference.terminal import say
    from training.stages.adapters import network_of
    from training.stages.starting_point import weights_called

    if args.weight_path:
        return Path(args.weight_path)
    if adapters and not args.weight and (own := network_of(adapters, "--weight_path", needed=False)):
        return Path(own)
    folder, name = Path(args.out_dir), args.weight or WEIGHT_NAMES[args.model_mode]
    if args.hidden_size:
        return folder / f"{name}_{args.hidden_size}.pth"
    found = weights_called(name, args.out_dir)
    if len(found) > 1:
        say(f"{len(found)} sizes of {name} are in {folder}; this is the newest (or choose by --hidden_size)")
    return found[0]


def score(args, loaded, device) -> None:
    """Prints how well the network predicts the documents of a file, or the answers in its conversations."""
    from dataset.rendering import ChatRenderer
    from inference.chat_evaluation import evaluate_chat_file, file_format
    from inference.evaluation import evaluate_file
    from inference.terminal import say

    found = file_format(args.data_path)
    say(f"{args.data_path}: format {found.name}")
    row_length = 512 if found.name == "text" else 768  # as in training
    settings = {
        "max_seq_len": args.max_seq_len or min(row_length, loaded.model.config.max_position_embeddings),
        "batch_size": args.batch_size or SCORED_AT_ONCE,
        "device": device.device,
        "autocast": device.autocast,
    }
    if found.name == "text":
        scores, documents = evaluate_file(loaded.model, loaded.tokenizer, args.data_path, **settings)
        measure = {"bits_per_byte": scores.bits_per_byte}
        counts = {"bytes": scores.bytes, "documents": documents}
    else:
        scores, counts = evaluate_chat_file(loaded.model, ChatRenderer(loaded.tokenizer), args.data_path, **settings)
        measure = {"token_accuracy": scores.token_accuracy}
    if not math.isfinite(scores.nats):
        raise SproutError(f"the loss on {args.data_path} is not a number: {loaded.source} is damaged or diverged")
    numbers = {"loss": scores.loss, "perplexity": scores.perplexity} | measure | {"tokens": scores.targets} | counts
    if args.json:
        print_json(args, loaded, numbers)
    else:
        print("  ".join(f"{k} {v:,}" if isinstance(v, int) else f"{k} {v:.4f}" for k, v in numbers.items()))


def print_json(args, loaded, result: dict) -> None:
    adapters = {"lora": args.lora} if args.lora else {}
    adapters |= {"lora_scale": args.lora_scale} if args.lora_scale is not None else {}
    print(json.dumps(result | {"weight": loaded.source, **adapters, "file": args.data_path}, ensure_ascii=False))


def examine(args, loaded, device) -> None:
    """Prints how many of a file's conversations the network ends as they end there, word for word."""
    from dataset.rendering import ChatRenderer
    from inference.exact_match import accuracies, answer_all, read_questions, save_answers, table, wrong_answers
    from inference.terminal import say
    from inference.thoughts import take_apart
    from inference.writer import end_ids, ready_to_generate

    renderer = ChatRenderer(loaded.tokenizer)
    questions = read_questions(args.data_path, renderer, loaded.tokenizer)
    precision = ready_to_generate(loaded.model, device, args.dtype)
    answers = answer_all(
        loaded.model,
        loaded.tokenizer,
        questions,
        end_ids=end_ids(loaded.tokenizer, renderer),
        max_new_tokens=args.max_new_tokens,
        batch_size=args.batch_size or ANSWERED_AT_ONCE,
        precision=precision,
        to_the_end=args.save_answers is not None,
    )
    if args.save_answers:
        save_answers(args.save_answers, questions, answers)
    if endless := sum(not take_apart(answer.text).thought_ended for answer in answers):
        say(f"thoughts without an end, and so without an answer: {endless:,}; more --max_new_tokens may let them end")
    result = accuracies(questions, answers)
    for line in wrong_answers(questions, answers, args.show):
        print(line, file=sys.stderr if args.json else sys.stdout)
    if args.json:
        print_json(args, loaded, result)
    else:
        print("\n".join(table(result)))


def continue_texts(args, loaded, device, sampling) -> None:
    """Goes on from the prompts, or in a terminal from what is typed."""
    from inference.terminal import Screen, in_terminal, say, typed_lines

    writer = new_writer(args, loaded, device, sampling)

    def answer(prompt: str) -> None:
        screen = Screen()
        screen.show(prompt)
        try:
            # As pretraining saw the beginning of a document.
            note = writer.write([loaded.tokenizer.bos_id, *loaded.tokenizer.encode(prompt)], screen.show)
        finally:
            screen.end()
        print(flush=True)
        say(note)

    if args.prompt or args.auto_test or not in_terminal():
        for prompt in args.prompt or CHINESE_PROMPTS + ENGLISH_PROMPTS:
            answer(prompt)
        return
    for prompt in typed_lines("Begin a text and press Enter; Ctrl-C stops the answer, Ctrl-D ends."):
        try:
            answer(prompt)
        except KeyboardInterrupt:
            print(flush=True)
        except SproutError as error:  # a prompt too long, say: the next may be shorter
            say(f"error: {error}")


def chat(args, loaded, device, sampling) -> None:
    """Answers each prompt, a conversation of its own, or in a terminal holds one conversation."""
    from dataset.rendering import ChatRenderer
    from inference.chat import Chat, reply, talk
    from inference.terminal import in_terminal

    renderer = ChatRenderer(loaded.tokenizer)
    writer = new_writer(args, loaded, device, sampling, renderer)
    positions = min(args.max_seq_len or sys.maxsize, loaded.model.config.max_position_embeddings)

    def new_chat() -> Chat:
        return Chat(renderer, positions, args.max_new_tokens, args.system)

    if not (args.prompt or args.auto_test) and in_terminal():
        talk(new_chat(), writer, show_thought=args.think)
        return
    for question in args.prompt or CHINESE_QUESTIONS + ENGLISH_QUESTIONS:
        print(f"> {question}", flush=True)
        reply(new_chat(), writer, question, show_thought=args.think)
        print(flush=True)


def new_writer(args, loaded, device, sampling, renderer=None):
    from inference.writer import Writer, end_ids

    return Writer(
        loaded.model,
        loaded.tokenizer,
        device,
        end_ids=end_ids(loaded.tokenizer, renderer),
        dtype=args.dtype,
        sampling=sampling,
        max_new_tokens=args.max_new_tokens,
        seed=args.seed,
    )


if __name__ == "__main__":
    run_main(main)
