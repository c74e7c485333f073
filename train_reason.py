"""Reasoning: learn to think before answering, from conversations whose answers are thought out first.

    loss = sum of w_t * -log p(token_t | the tokens before it) / sum of w_t,   over the trained tokens t
    w_t  = --tag_weight where the token is <think> or </think>, else 1

Trained are the answers alone, each with the thought before it: <think>, the thought, </think>, the answer and the
end-of-turn token. A thought is the `reasoning_content` of an assistant turn, or stands in its content between the
tags. With --tag_weight 1 this is train_full_sft.py to the bit. Every parameter is updated (but see --freeze_layers and
--lora).

    python train_reason.py --data_path my_thoughts.jsonl
    python train_reason.py --data_path my_thoughts.jsonl:0.5 my_chats.jsonl:0.5 --from_weight some/hf_folder --resume

Begins with out/full_sft_<hidden>.pth and writes out/reason_<hidden>.pth every 100 steps; chat with it by
`python eval_model.py --model_mode 3`, which shows thought and answer apart.
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
from training.stages.loss_arguments import add_reason_arguments


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    what = "conversations that think: .jsonl, .jsonl.gz or .parquet, each with an optional weight"
    add_data_arguments(parser, what, max_seq_len=768)
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
    from inference.evaluation import validate
    from training.engine.optimizers import optimizers_for
    from training.engine.plan import plan_for
    from training.engine.run import Run
    from training.losses.next_token import next_token_loss_and_measures, target_weights
    from training.stages import advice
    from training.stages.adapters import add_adapters
    from training.stages.data import facts_of, identity_of, open_chats
    from training.stages.samples import answer_questions
    from training.stages.starting_point import starting_point

    with Run(args, stage="reason") as run:
        # Network and data
        model, tokenizer, origin = starting_point(args)
        run.say(f"begins with {origin}")
        add_adapters(args, model, origin)  # with --lora, they are all of it that learns
        rows, validation = open_chats(args, tokenizer, run.say, sample="reason")
        renderer = ChatRenderer(tokenizer)
        tokenizer, tags = renderer.tokenizer, renderer.think_ids
        for warning in advice.about_thoughts(rows, tags):
            run.say(f"warning: {warning}")

        # How long, in which steps, at which learning rate; then the optimizer, and --resume, which refuses another loss
        plan = plan_for(run, model, rows, origin)
        model.to(run.device)
        optimizers = optimizers_for(model, args, plan.learning_rate, run.device_choice.dtype)
        identity = identity_of(rows, validation, loss=f"tag_weight {args.tag_weight:g}")
        run.begin(model, tokenizer, plan, optimizers, data=identity, facts=facts_of(rows))

        for step in run.steps():
            for batch in step.micro_batches(rows):
                weights = target_weights(batch.targets, tags, args.tag_weight)
                with run.autocast():
                    # Positions begin anew with every conversation of a row, which is how attention tells them apart.
                    features = model.features(batch.tokens, batch.positions)
                    loss_sum, correct, entropy = next_token_loss_and_measures(
                        features, model.lm_head.weight, batch.targets, weights=weights
                    )
                step.backward(loss_sum, weights.sum(), batch.trained)
                step.measure(batch.trained, token_accuracy=correct, entropy=entropy)
            step.update()

            if step.evaluates and validation:
                step.report(validate(run, model, validation))
            if step.samples:
                run.say(answer_questions(run, model, tokenizer, renderer, max_new_tokens=128))


if __name__ == "__main__":
    run_main(main)
