"""Pretraining: learn the language by predicting the next token of plain text.

    loss = mean over all tokens t of  -log p(token_t | the tokens before it in its row)

Every parameter is updated (but see --freeze_layers, --train_only). A row is `--max_seq_len` tokens of documents
packed end to end, led by a BOS token.

    python train_pretrain.py --data_path my_text.jsonl
    python train_pretrain.py --data_path a.jsonl:0.7 b.jsonl:0.3 --preset 64m --resume

Writes out/pretrain_512.pth every 100 steps; `python eval_model.py --model_mode 0` continues a prompt with it.
"""

from training.stages.arguments import (
    COMPARED,
    RESULT,
    StageParser,
    add_data_arguments,
    add_model_arguments,
    add_optimization_arguments,
    add_run_arguments,
    run_main,
)


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    data_help = "texts: JSON lines, plain text, parquet, ... (docs/pretrain.md), each with an optional weight"
    add_data_arguments(parser, data_help)
    parser.flags("data", COMPARED)(
        "--markers", choices=("keep", "split"), default="keep", help="chat markers: keep, or split texts there (keep)"
    )
    add_model_arguments(parser, start_from=None)
    parser.flags("model", RESULT)("--train_only", choices=("embeddings",), help="train only the rows of new tokens")
    parser.set_defaults_under("train_only", optimizer="adamw", weight_decay=0.0, learning_rate=5e-4)
    add_optimization_arguments(parser, optimizer="muon", weight_decay=0.1)
    add_run_arguments(parser, weight_name="pretrain")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_arguments(argv)

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from dataset.rows.texts import TEXTS
    from training.engine.optimizers import optimizers_for
    from training.engine.plan import plan_for
    from training.engine.run import Run
    from training.losses.next_token import next_token_loss
    from training.stages.checks import continue_prompts, validate
    from training.stages.data import describe_rows, identity_of, open_data
    from training.stages.starting_point import starting_point

    with Run(args, stage="pretrain") as run:
        # Network and data
        machine = run.machine
        model, tokenizer, origin = starting_point(args)
        run.begins_with(model, origin)
        rows, validation = open_data(TEXTS, args, tokenizer, run.say)

        # How long, in which steps, at which learning rate; then the optimizer, and --resume
        plan = plan_for(args, machine, model, rows, origin)
        model.to(machine.device)
        optimizers = optimizers_for(model, args, plan.learning_rate, machine)
        identity = identity_of(rows, validation)
        run.begin(model, tokenizer, plan, optimizers, data=identity, description=describe_rows(rows))

        def loss_of(batch):
            features = model.features(batch.tokens, batch.positions)
            return next_token_loss(features, model.lm_head.weight, batch.targets)

        for step in run.steps():
            for batch in step.micro_batches(rows):
                step.learn(loss_of, batch, batch.trained)
            step.update()

            if step.evaluates and validation:
                step.report(validate(model, validation, machine, plan.batch_size))
            if step.samples:
                step.show(continue_prompts(model, tokenizer, machine, args.seed))


if __name__ == "__main__":
    run_main(main)
