"""Reasoning: learn to think before answering, from conversations whose answers begin with a thought.

    loss = sum of w_t * -log p(token_t | the tokens before it) / sum of w_t,   over the trained tokens t
    w_t  = --tag_weight where the token is <think> or </think>, else 1

Only the answers are trained, each with the thought before it: <think>, the thought, </think>, the answer and the
end-of-turn token. A thought is the `reasoning_content` of an assistant turn, or stands in its content between the
tags. With --tag_weight 1 this is train_full_sft.py to the bit. Every parameter is updated (but see --freeze_layers and
--lora).

    python train_reason.py --data_path my_thoughts.jsonl
    python train_reason.py --data_path my_thoughts.jsonl:0.5 my_chats.jsonl:0.5 --from_weight some/hf_folder --resume

Begins with out/full_sft_512.pth and writes out/reason_512.pth every 100 steps; chat with it by
`python eval_model.py --model_mode 3`, which shows thought and answer apart.
"""

from training.stages.arguments import (
    StageParser,
    add_data_arguments,
    add_model_arguments,
    add_optimization_arguments,
    add_run_arguments,
    run_main,
)
from training.stages.stage_arguments import add_lora_arguments, add_reason_arguments


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    data_help = "conversations that think: JSON lines, parquet, ... (docs/chat_data.md), each with an optional weight"
    add_data_arguments(parser, data_help, max_seq_len=768)
    add_model_arguments(parser, start_from="full_sft")
    add_reason_arguments(parser)
    add_lora_arguments(parser)
    add_optimization_arguments(parser, optimizer="muon", weight_decay=0.0)
    add_run_arguments(parser, weight_name="reason")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_arguments(argv)

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from dataset.rendering import ChatRenderer
    from dataset.rows.chats import THOUGHTS
    from training.engine.optimizers import optimizers_for
    from training.engine.plan import plan_for
    from training.engine.run import Run
    from training.losses.next_token import next_token_loss_and_measures
    from training.losses.tag_weights import target_weights
    from training.stages.adapters import add_adapters
    from training.stages.chat_samples import answer_questions
    from training.stages.checks import validate
    from training.stages.data import describe_rows, identity_of, open_data
    from training.stages.starting_point import starting_point
    from training.stages.thoughts import warnings_about_thoughts

    with Run(args, stage="reason") as run:
        # Network and data
        machine = run.machine
        model, tokenizer, origin = starting_point(args, chats=True)
        run.begins_with(model, origin)
        add_adapters(args, model, origin)  # with --lora, only they learn from here on
        rows, validation = open_data(THOUGHTS, args, tokenizer, run.say)
        renderer = ChatRenderer(tokenizer)
        for warning in warnings_about_thoughts(rows, renderer.think_ids):
            run.say(f"warning: {warning}")

        # How long, in which steps, at which learning rate; then the optimizer, and --resume
        plan = plan_for(args, machine, model, rows, origin)
        model.to(machine.device)
        optimizers = optimizers_for(model, args, plan.learning_rate, machine)
        identity = identity_of(rows, validation)
        run.begin(model, tokenizer, plan, optimizers, data=identity, description=describe_rows(rows))

        def weights_of(batch):
            return target_weights(batch.targets, renderer.think_ids, args.tag_weight)

        def loss_of(batch):
            # Positions restart with every conversation of a row, so that attention keeps them apart.
            features, head = model.features(batch.tokens, batch.positions), model.lm_head.weight
            return next_token_loss_and_measures(features, head, batch.targets, weights=weights_of(batch))

        for step in run.steps():
            for batch in step.micro_batches(rows):
                correct, entropy = step.learn(loss_of, batch, weights_of(batch).sum(), batch.trained)
                step.measure(batch.trained, token_accuracy=correct, entropy=entropy)
            step.update()

            if step.evaluates and validation:
                step.report(validate(model, validation, machine, plan.batch_size))
            if step.samples:
                step.show(answer_questions(model, renderer, machine, args.seed, max_new_tokens=128))


if __name__ == "__main__":
    run_main(main)
