"""Full fine-tuning: learn to answer, from conversations.

    loss = mean over the trained tokens t of  -log p(token_t | the tokens before it in its conversation)

Trained are the answers alone: the content of every assistant turn and the end-of-turn token behind it. Every parameter
is updated (but see --freeze_layers and --lora). A row holds several conversations side by side that do not see each
other.

    python train_full_sft.py --data_path my_chats.jsonl
    python train_full_sft.py --data_path a.jsonl:0.7 b.jsonl:0.3 --from_weight some/hf_folder --resume

Begins with out/pretrain_<hidden>.pth and writes out/full_sft_<hidden>.pth every 100 steps; chat with it by
`python eval_model.py --model_mode 1`. Look at the data first: `python -m dataset.preview my_chats.jsonl`.
"""

from training.stages.arguments import (
    StageParser,
    add_data_arguments,
    add_lora_arguments,
    add_model_arguments,
    add_optimization_arguments,
    add_run_arguments,
    run_main,
)


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    # Longer rows than for texts: what does not fit is lost here, there it is only split.
    what = "conversations: .jsonl, .jsonl.gz or .parquet, each with an optional weight"
    add_data_arguments(parser, what, max_seq_len=768)
    add_model_arguments(parser, start_from="pretrain")
    add_lora_arguments(parser)
    add_optimization_arguments(parser, optimizer="muon", weight_decay=0.0)
    add_run_arguments(parser, weight_name="full_sft")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_arguments(argv)

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from dataset.rendering import ChatRenderer
    from inference.evaluation import validate
    from training.engine.optimizers import optimizers_for
    from training.engine.plan import plan_for
    from training.engine.run import Run
    from training.losses.next_token import next_token_loss_and_measures
    from training.stages.adapters import add_adapters
    from training.stages.data import facts_of, identity_of, open_chats
    from training.stages.samples import answer_questions
    from training.stages.starting_point import starting_point

    with Run(args, stage="full_sft") as run:
        # Network and data
        model, tokenizer, origin = starting_point(args)
        run.say(f"begins with {origin}")
        add_adapters(args, model, origin)  # with --lora, they are all of it that learns
        rows, validation = open_chats(args, tokenizer, run.say)
        renderer = ChatRenderer(tokenizer)
        tokenizer = renderer.tokenizer  # an imported one may have brought another chat template

        # How long, in which steps, at which learning rate; then the optimizer, and --resume
        plan = plan_for(run, model, rows, origin)
        model.to(run.device)
        optimizers = optimizers_for(model, args, plan.learning_rate, run.device_choice.dtype)
        run.begin(model, tokenizer, plan, optimizers, data=identity_of(rows, validation), facts=facts_of(rows))

        for step in run.steps():
            for batch in step.micro_batches(rows):
                with run.autocast():
                    # Positions begin anew with every conversation of a row, which is how attention tells them apart.
                    features = model.features(batch.tokens, batch.positions)
                    loss_sum, correct, entropy = next_token_loss_and_measures(
                        features, model.lm_head.weight, batch.targets
                    )
                step.backward(loss_sum, batch.trained)
                step.measure(batch.trained, token_accuracy=correct, entropy=entropy)
            step.update()

            if step.evaluates and validation:
                step.report(validate(run, model, validation))
            if step.samples:
                run.say(answer_questions(run, model, tokenizer, renderer))


if __name__ == "__main__":
    run_main(main)
