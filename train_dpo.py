"""Direct preference optimisation: learn from pairs of answers which of the two is better.

    loss = mean over pairs of  -log sigmoid(beta * (c - r))
    c, r = log p(answer) - log p_reference(answer), of the chosen and of the rejected answer, summed over its tokens

The reference is the network as it was at the start. The loss pushes the chosen answer up and the rejected one down,
relative to the reference, and less the surer the network is already. Other losses by --loss_type
(`training/losses/preference.py`). Every parameter is updated (but see --freeze_layers and --lora). A row holds both
answers of several pairs, none of which sees another.

    python train_dpo.py --data_path my_preferences.jsonl
    python train_dpo.py --data_path my_preferences.jsonl --loss_type ipo --beta 0.05 --from_weight some/hf_folder

Begins with out/full_sft_<hidden>.pth and writes out/dpo_<hidden>.pth every 100 steps; chat with it by
`python eval_model.py --model_mode 2`.
"""

from model.errors import UsageError
from training.stages.arguments import (
    StageParser,
    add_data_arguments,
    add_lora_arguments,
    add_model_arguments,
    add_optimization_arguments,
    add_run_arguments,
    run_main,
)
from training.stages.loss_arguments import add_preference_arguments, refuse_unused


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    add_data_arguments(parser, "preferences: .jsonl, .jsonl.gz or .parquet", max_seq_len=768)
    add_model_arguments(parser, start_from="full_sft")
    add_lora_arguments(parser)
    add_preference_arguments(parser)
    add_optimization_arguments(parser, optimizer="adamw", weight_decay=0.0)
    add_run_arguments(parser, weight_name="dpo")
    args = parser.parse_args(argv)
    refuse_unused(parser, args, args.loss_type)
    if args.label_smoothing >= 0.5:
        raise UsageError(
            f"--label_smoothing {args.label_smoothing:g} would turn preferences around: give less than 0.5"
        )
    if args.lora and args.lora_dropout:
        raise UsageError("--lora_dropout would let chance into the comparison with the reference: drop it")
    return args


# Below those of fine-tuning, since nothing holds the network where it was but beta. Only AdamW's of ours is measured
# (docs/dpo.md); those of imported networks are customary.
LEARNING_RATE = {"imported": {"adamw": 1e-6, "muon": 1e-5}, "ours": {"adamw": 1e-4, "muon": 1e-3}}
ADAPTER_RATE = {"imported": {"adamw": 1e-5}, "ours": {"adamw": 2e-4}}


def main(argv=None):
    args = parse_arguments(argv)

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from dataset.rendering import ChatRenderer
    from model.lora import fingerprint
    from training.engine.optimizers import optimizers_for
    from training.engine.plan import plan_for
    from training.engine.run import Run
    from training.losses.preference import LOSSES, Settings, at_the_start
    from training.stages.adapters import add_adapters
    from training.stages.data import facts_of, identity_of, open_preferences
    from training.stages.preferences import compare, first_loss_warning, measures, needs_reference, validate_pairs
    from training.stages.reference import add_reference, beside, frozen_copy
    from training.stages.starting_point import starting_point

    with Run(args, stage="dpo") as run:
        # Network, data, and the loss of a pair
        model, tokenizer, origin = starting_point(args)
        run.say(f"begins with {origin}")
        add_adapters(args, model, origin)  # with --lora, they are all of it that learns
        rows, validation = open_preferences(args, tokenizer, run.say)
        tokenizer = ChatRenderer(tokenizer).tokenizer  # an imported one may have brought another chat template
        settings = Settings(args.beta, args.label_smoothing, args.gamma, args.odds_weight)

        def objective(pair):
            return LOSSES[args.loss_type](pair, settings) - args.sft_weight * pair.chosen / pair.chosen_tokens

        # How long, in which steps, at which learning rate
        live = needs_reference(args.loss_type) and not args.precompute_ref
        footprint = run.footprint(model, rows.row_length)
        plan = plan_for(
            run,
            model,
            rows,
            origin,
            base_rates=ADAPTER_RATE if args.lora else LEARNING_RATE,
            footprint=beside(footprint) if live else footprint,
        )
        model.to(run.device)
        run.make_ready(model, plan)  # now, so that the reference is computed as the network will be

        # The reference: its log-probabilities, once and for all; or the network itself, beside the one that learns
        loss = f"{args.loss_type}, {settings}, sft_weight {args.sft_weight:g}"
        identity, reference = identity_of(rows, validation, loss=loss), None
        if needs_reference(args.loss_type) and args.precompute_ref:
            identity["reference"] = f"precomputed, of {fingerprint(model)}"
            add_reference(run, model, rows.packed, rows.identity, plan.batch_size)
            held = ["validation", *validation.identity]
            add_reference(run, model, validation.packed, held, plan.batch_size, validation=True)
        elif live:
            identity["reference"], reference = f"live, of {fingerprint(model)}", frozen_copy(model)
            run.compile(reference)

        # The optimizer, and --resume, which refuses another loss
        optimizers = optimizers_for(model, args, plan.learning_rate, run.device_choice.dtype)
        pairs = plan.per_step(rows.packed.pairs_kept)
        run.begin(model, tokenizer, plan, optimizers, data=identity, facts=facts_of(rows), nominal_count=pairs)

        for step in run.steps():
            for batch in step.micro_batches(rows):
                with run.autocast():
                    pair, entropy = compare(model, batch, reference)
                step.backward(objective(pair).sum(), batch.pairs, batch.trained)
                step.measure(batch.pairs, **measures(pair, args.beta))
                step.measure(batch.pairs, nll_loss=(-pair.chosen / pair.chosen_tokens).detach().sum())
                step.measure(batch.trained, entropy=entropy)
            step.update()

            if step.number == 1 and step.metrics["loss"] is not None:
                of_pairs = step.metrics["loss"] - args.sft_weight * step.metrics["nll_loss"]
                if warning := first_loss_warning(args.loss_type, of_pairs, at_the_start(args.loss_type, settings)):
                    run.say(f"warning: {warning}")
            if step.evaluates and validation:
                step.report(validate_pairs(run, model, validation, objective, args.beta, reference))


if __name__ == "__main__":
    run_main(main)
