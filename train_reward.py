"""The reward model: learn to rate an answer by one number, from pairs of a better and a worse answer.

    loss = mean over pairs of  -log sigmoid(c - r - margin) + center * (c + r)^2
    c, r = score . h of the chosen and of the rejected answer, h the last hidden state of the token that ends it

The network is a language model with a scalar head in place of its own. The head begins at zero, so the first loss is
ln 2. From answers with scores it learns the score: (r - score)^2. Every parameter is updated; with --lora, only the
adapters and the head. A row holds whole conversations, none of which sees another.

    python train_reward.py --data_path my_preferences.jsonl
    python train_reward.py --data_path my_preferences.jsonl --loss_type hinge --lora

Begins with out/full_sft_512.pth and writes out/reward_512.pth every 100 steps; score answers with it by
`python scripts/score.py --prompt "..." --answer "..."`.
"""

from training.stages.arguments import (
    StageParser,
    add_data_arguments,
    add_model_arguments,
    add_optimization_arguments,
    add_run_arguments,
    run_main,
)
from training.stages.stage_arguments import add_lora_arguments, add_reward_arguments, refuse_unused


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    add_data_arguments(
        parser, "preferences, or scored answers: JSON lines, parquet, ... (docs/dpo.md)", max_seq_len=768
    )
    add_model_arguments(parser, start_from="full_sft")
    add_lora_arguments(parser)
    add_reward_arguments(parser)
    add_optimization_arguments(parser, optimizer="adamw", weight_decay=0.0)
    add_run_arguments(parser, weight_name="reward")
    args = parser.parse_args(argv)
    refuse_unused(parser, args, args.loss_type or "bt")
    return args


# The rate for AdamW and "ours" is measured (docs/reward.md); adapters learn at the same rate as in other stages.
LEARNING_RATE = {"imported": {"adamw": 1e-5, "muon": 1e-4}, "ours": {"adamw": 5e-4, "muon": 2e-3}}


def main(argv=None):
    args = parse_arguments(argv)

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from model.reward import RewardModel
    from training.engine.optimizers import optimizers_for
    from training.engine.plan import plan_for
    from training.engine.run import Run
    from training.stages.adapters import add_adapters
    from training.stages.data import describe_rows, identity_of, open_data
    from training.stages.kinds import pairs_or_scores
    from training.stages.rewards import judge, loss_for, measured_spread, measures, validate_rewards
    from training.stages.starting_point import starting_point

    with Run(args, stage="reward") as run:
        # Network, data, and the loss of a pair or of a scored answer
        machine = run.machine
        model, tokenizer, origin = starting_point(args, chats=True)
        run.begins_with(model, origin)
        add_adapters(args, model, origin)
        model = RewardModel.of(model)
        kind = pairs_or_scores(args)
        args.loss_type, objective = loss_for(args, kind.cache.RECORDS.name)
        rows, validation = open_data(kind, args, tokenizer, run.say)

        # How long, in which steps, at which learning rate; then the optimizer, and --resume, which refuses another loss
        plan = plan_for(args, machine, model, rows, origin, base_rates=None if args.lora else LEARNING_RATE)
        model.to(machine.device)
        optimizers = optimizers_for(model, args, plan.learning_rate, machine)
        identity = identity_of(rows, validation)
        description = describe_rows(rows)
        count = plan.per_step(rows.packed.records_kept)
        run.more_facts = lambda: measured_spread(model, rows, machine, plan.batch_size).facts()
        run.begin(model, tokenizer, plan, optimizers, data=identity, description=description, nominal_count=count)

        for step in run.steps():
            for batch in step.micro_batches(rows):
                with run.autocast():
                    rewards = judge(model, batch)  # [2, pairs]: chosen, rejected; or [1, scored answers]
                step.backward(objective(rewards, batch.labels).sum(), batch.records, batch.trained)
                step.measure(batch.records, **measures(rewards))
                step.measure_range(reward=rewards)
            step.update()

            if step.evaluates and validation:
                step.report(validate_rewards(model, validation, machine, plan.batch_size, objective))


if __name__ == "__main__":
    run_main(main)
