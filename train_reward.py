"""The reward model: learn to say by one number how good an answer is, from pairs of which one is better.

    loss = mean over pairs of  -log sigmoid(c - r - margin) + center * (c + r)^2
    c, r = score . h of the chosen and of the rejected answer, h the last hidden state of the token that ends it

The network is that of a language model with a scalar head instead of its own, which begins at zero: the first loss is
ln 2. From answers that have a score each, it learns that score: (r - score)^2. Every parameter is updated, but with
--lora adapters and the head alone. A row holds whole conversations, none of which sees another.

    python train_reward.py --data_path my_preferences.jsonl
    python train_reward.py --data_path my_preferences.jsonl --loss_type hinge --lora

Begins with out/full_sft_<hidden>.pth and writes out/reward_<hidden>.pth every 100 steps; score answers with it by
`python scripts/score.py --prompt "..." --answer "..."`.
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
from training.stages.loss_arguments import add_reward_arguments, refuse_unused


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    add_data_arguments(parser, "preferences, or scored answers: .jsonl, .jsonl.gz or .parquet", max_seq_len=768)
    add_model_arguments(parser, start_from="full_sft")
    add_lora_arguments(parser)
    add_reward_arguments(parser)
    add_optimization_arguments(parser, optimizer="adamw", weight_decay=0.0)
    add_run_arguments(parser, weight_name="reward")
    args = parser.parse_args(argv)
    refuse_unused(parser, args, args.loss_type or "bt")
    return args


# Only AdamW's of ours is measured (docs/reward.md); adapters learn at the rate that they have in all stages.
LEARNING_RATE = {"imported": {"adamw": 1e-5, "muon": 1e-4}, "ours": {"adamw": 5e-4, "muon": 2e-3}}


def main(argv=None):
    args = parse_arguments(argv)

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from dataset.rendering import ChatRenderer
    from model.reward import RewardModel
    from training.engine.optimizers import optimizers_for
    from training.engine.plan import plan_for
    from training.engine.run import Run
    from training.stages.adapters import add_adapters
    from training.stages.data import facts_of, identity_of, open_answers
    from training.stages.rewards import judge, loss_for, measures, validate_rewards
    from training.stages.starting_point import starting_point

    with Run(args, stage="reward") as run:
        # Network, data, and the loss of a pair or of a scored answer
        model, tokenizer, origin = starting_point(args)
        run.say(f"begins with {origin}")
        add_adapters(args, model, origin)
        model = RewardModel.of(model)
        rows, validation, kind = open_answers(args, tokenizer, run.say)
        tokenizer = ChatRenderer(tokenizer).tokenizer  # an imported one may have brought another chat template
        loss_type, objective = loss_for(args, kind)

        # How long, in which steps, at which learning rate; then the optimizer, and --resume, which refuses another loss
        plan = plan_for(run, model, rows, origin, base_rates=None if args.lora else LEARNING_RATE)
        model.to(run.device)
        optimizers = optimizers_for(model, args, plan.learning_rate, run.device_choice.dtype)
        loss = f"{loss_type}, center {args.center:g}, hinge_margin {args.hinge_margin:g}"
        identity, records = identity_of(rows, validation, loss=loss), plan.per_step(rows.packed.records_kept)
        run.begin(model, tokenizer, plan, optimizers, data=identity, facts=facts_of(rows), nominal_count=records)

        for step in run.steps():
            for batch in step.micro_batches(rows):
                with run.autocast():
                    found = judge(model, batch)  # [2, pairs] of chosen and rejected answers; [1, answers] of scored
                step.backward(objective(found, batch.labels).sum(), batch.records, batch.read)
                step.measure(batch.records, **measures(found))
                step.measure_range(reward=found)
            step.update()

            if step.evaluates and validation:
                step.report(validate_rewards(run, model, validation, objective))


if __name__ == "__main__":
    run_main(main)
