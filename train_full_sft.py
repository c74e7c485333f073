"""Full fine-tuning: learn to answer, from conversations.

    loss = mean over the trained tokens t of  -log p(token_t | the tokens before it in its conversation)

Only the answers are trained: the content of every assistant turn and the end-of-turn token behind it. Every parameter
is updated (but see --freeze_layers and --lora). A row holds several conversations side by side that do not see each
other.

    python train_full_sft.py --data_path my_chats.jsonl
    python train_full_sft.py --data_path a.jsonl:0.7 b.jsonl:0.3 --from_weight some/hf_folder --resume

Begins with out/pretrain_512.pth and writes out/full_sft_512.pth every 100 steps; chat with it by
`python eval_model.py --model_mode 1`. Look at the data first: `python -m dataset.preview my_chats.jsonl`.
"""

from training.stages.arguments import (
    StageParser,
    add_data_arguments,
    add_model_arguments,
    add_optimization_arguments,
    add_run_arguments,
    run_main,
)
from training.stages.stage_arguments import add_chat_arguments, add_lora_arguments


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    # Rows are longer than for texts, because a conversation that does not fit is cut, while a text is only split.
    data_help = "conversations: JSON lines, parquet, ... (docs/chat_data.md), each with an optional weight"
    add_data_arguments(parser, data_help, max_seq_len=768)
    add_chat_arguments(parser)
    add_model_arguments(parser, start_from="pretrain")
    add_lora_arguments(parser)
    add_optimization_arguments(parser, optimizer="muon", weight_decay=0.0)
    add_run_arguments(parser, weight_name="full_sft")
    return parser.parse_args(argv)


def main(argv=None):
    fine_tune(parse_arguments(argv), stage="full_sft")


def fine_tune(args, stage: str):
    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from dataset.rendering import ChatRenderer
    from dataset.rows.chats import CHATS
    from training.engine.optimizers import optimizers_for
    from training.engine.plan import plan_for
    from training.engine.run import Run
    from training.losses.next_token import next_token_loss_and_measures
    from training.stages.adapters import add_adapters
    from training.stages.chat_samples import answer_questions
    from training.stages.checks import validate
    from training.stages.data import describe_rows, identity_of, open_data
    from training.stages.starting_point import starting_point

    kind = CHATS
    if args.first_turn:
        from dataset.rows.first_turns import FIRST_TURNS as kind

    with Run(args, stage) as run:
        # Network and data
        machine = run.machine
        model, tokenizer, origin = starting_point(args, chats=True)
        run.begins_with(model, origin)
        add_adapters(args, model, origin)  # with --lora, only they learn from here on
        rows, validation = open_data(kind, args, tokenizer, run.say)

        # How long, in which steps, at which learning rate; then the optimizer, and --resume
        plan = plan_for(args, machine, model, rows, origin)
        model.to(machine.device)
        optimizers = optimizers_for(model, args, plan.learning_rate, machine)
        identity = identity_of(rows, validation)
        run.begin(model, tokenizer, plan, optimizers, data=identity, description=describe_rows(rows))

        def loss_of(batch):
            # Positions restart with every conversation of a row, so that attention keeps them apart.
            features = model.features(batch.tokens, batch.positions)
            return next_token_loss_and_measures(features, model.lm_head.weight, batch.targets)

        for step in run.steps():
            for batch in step.micro_batches(rows):
                correct, entropy = step.learn(loss_of, batch, batch.trained)
                step.measure(batch.trained, token_accuracy=correct, entropy=entropy)
            step.update()

            if step.evaluates and validation:
                step.report(validate(model, validation, machine, plan.batch_size))
            if step.samples:
                step.show(answer_questions(model, ChatRenderer(tokenizer), machine, args.seed))


if __name__ == "__main__":
    run_main(main)
