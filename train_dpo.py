"""Direct preference optimisation: learn from pairs of answers which of the two is better.

    loss = mean over pairs of  -log sigmoid(beta * (c - r))
    c, r = log p(answer) - log p_reference(answer), of the chosen and of the rejected answer, summed over its tokens

The reference is the network as it was at the start. The loss raises the probability of the chosen answer and lowers
that of the rejected one, relative to the reference, and less so the surer the network already is. --loss_type chooses
other losses (`training/losses/preference.py`). Where answers are good or bad each by itself, `kto` learns from them
(`training/losses/kto.py`). Every parameter is updated (but see --freeze_layers and --lora). A row holds the answers of
several records, none of which sees another.

    python train_dpo.py --data_path my_preferences.jsonl
    python train_dpo.py --data_path my_preferences.jsonl --loss_type ipo --beta 0.05 --from_weight some/hf_folder
    python train_dpo.py --data_path my_labelled_answers.jsonl --loss_type kto

Begins with out/full_sft_512.pth and writes out/dpo_512.pth every 100 steps; chat with it by
`python eval_model.py --model_mode 2`.
"""

from model.errors import UsageError
from training.stages.arguments import (
    StageParser,
    add_data_arguments,
    add_model_arguments,
    add_optimization_arguments,
    add_run_arguments,
    run_main,
)
from training.stages.stage_arguments import add_lora_arguments, add_preference_arguments, refuse_unused


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    add_data_arguments(parser, "preferences, or for kto labelled answers (docs/dpo.md)", max_seq_len=768)
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


# Lower rates than for fine-tuning, since only beta keeps the network near the reference. The one for AdamW and "ours"
# is measured (docs/dpo.md); those for imported networks are customary.
LEARNING_RATE = {"imported": {"adamw": 1e-6, "muon": 1e-5}, "ours": {"adamw": 1e-4, "muon": 1e-3}}
ADAPTER_RATE = {"imported": {"adamw": 1e-5}, "ours": {"adamw": 2e-4}}


def main(argv=None):
    args = parse_arguments(argv)

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from model.fingerprint import fingerprint
    from training.engine.optimizers import optimizers_for
    from training.engine.plan import plan_for
    from training.engine.run import Run
    from training.losses.kto import kto
    from training.losses.preference import LOSSES, Settings
    from training.stages.adapters import add_adapters
    from training.stages.data import describe_rows, identity_of, open_data
    from training.stages.preferences import needs_reference, warn_of_first_loss
    from training.stages.reference import (
        frozen_copy,
        parameters_copied,
        precompute_reference,
        prepare_with_reference,
        with_passes,
    )
    from training.stages.starting_point import starting_point

    # What the data are, and how their answers are compared with the reference: both modules have the same functions.
    unpaired = args.loss_type == "kto"
    if unpaired:
        from dataset.rows.answers import ANSWERS as kind
        from training.stages import unpaired as comparison
    else:
        from dataset.rows.pairs import PAIRS as kind
        from training.stages import preferences as comparison

    with Run(args, stage="dpo") as run:
        # Network, data, and the loss of a pair or of a single answer
        machine = run.machine
        model, tokenizer, origin = starting_point(args, chats=True)
        run.begins_with(model, origin)
        add_adapters(args, model, origin)  # with --lora, only they learn from here on
        rows, validation = open_data(kind, args, tokenizer, run.say)
        settings = Settings(args.beta, args.label_smoothing, args.gamma, args.odds_weight)
        if unpaired:
            comparison.choose_weights(args, rows, run.say)

        def objective(answers):
            if unpaired:
                return kto(answers, args.beta, args.desirable_weight, args.undesirable_weight)
            return LOSSES[args.loss_type](answers, settings) - args.sft_weight * answers.chosen / answers.chosen_tokens

        # How long, in which steps, at which learning rate
        has_reference = needs_reference(args.loss_type)
        is_live = has_reference and not args.precompute_ref  # else its log-probabilities are computed beforehand
        rates = ADAPTER_RATE if args.lora else LEARNING_RATE
        copied = parameters_copied(model) if is_live else 0
        plan = plan_for(args, machine, model, rows, origin, base_rates=rates, parameters_beside=copied)

        # The reference: its log-probabilities, computed once; or a frozen copy of the network
        reference = None
        identity = identity_of(rows, validation)
        begins_as = fingerprint(model) if has_reference else None
        model.to(machine.device)
        prepare_with_reference(run, model, plan)
        machine.run_seconds = with_passes(machine.run_seconds, model, comparison.passes_beside(is_live))
        if is_live:
            identity["reference"] = f"live, of {begins_as}"
            reference = frozen_copy(model)
            machine.compile(reference)
        elif has_reference:
            identity["reference"] = f"precomputed, of {begins_as}"
            precompute_reference(run, model, plan, rows, validation)

        # The optimizer, and --resume, which refuses another loss
        optimizers = optimizers_for(model, args, plan.learning_rate, machine)
        description = describe_rows(rows)
        count = plan.per_step(rows.packed.records_kept)
        run.begin(model, tokenizer, plan, optimizers, data=identity, description=description, nominal_count=count)

        for step in run.steps():
            batches = step.micro_batches(rows)
            for batch, answers, entropy in comparison.compare_batches(model, batches, machine, reference):
                step.backward(objective(answers).sum(), batch.records, batch.trained)
                comparison.note(step, batch, answers, entropy, args.beta)
            step.update()

            if unpaired:
                comparison.record_margin(step)
            if step.number == 1:
                warn_of_first_loss(run, step.metrics, expected=comparison.at_the_start(args, settings))
            if step.evaluates and validation:
                step.report(
                    comparison.validate(model, validation, machine, plan.batch_size, objective, args.beta, reference)
                )


if __name__ == "__main__":
    run_main(main)
