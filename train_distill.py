"""Distillation: a small network learns what a large one thinks of every next token.

    loss = mean over the trained tokens t of  alpha * -log q(token_t) + (1 - alpha) * tau^2 * KL(p_tau || q_tau)
    p, q = what teacher and student expect after the tokens before t; p_tau, q_tau: softmax(logits / tau)

The first part is that of fine-tuning: the token of the data is right and every other one wrong. The second says how
likely the teacher thinks each token, which is more to learn from. Other divergences by --loss_type
(`training/losses/distillation.py`). Every parameter of the student is updated (but see --freeze_layers), none of the
teacher. Data are conversations, or texts; the networks have one tokenizer.

    python train_distill.py --data_path my_chats.jsonl --teacher_weight some/hf_folder
    python train_distill.py --data_path my_chats.jsonl --from_weight small.pth --loss_type jsd --on_policy 0.5

Teacher is out/full_sft_<hidden>.pth; the student begins with out/pretrain_<hidden>.pth, of which --hidden_size chooses
one (--preset begins a new one), and is written to out/distill_<hidden>.pth every 100 steps; chat with it by
`python eval_model.py --model_mode 1 --weight distill`.
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
from training.stages.loss_arguments import add_distillation_arguments, refuse_unused


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    what = "conversations or texts: .jsonl, .jsonl.gz or .parquet, each with an optional weight"
    add_data_arguments(parser, what, max_seq_len=768)
    add_model_arguments(parser, start_from="pretrain")
    parser.set_defaults(from_weight=None)  # which is the default below, unless --preset asks for a new student
    add_distillation_arguments(parser)
    add_optimization_arguments(parser, optimizer="muon", weight_decay=0.0)
    add_run_arguments(parser, weight_name="distill")
    args = parser.parse_args(argv)
    refuse_unused(parser, args, args.loss_type)
    if not (args.preset or args.from_weight):
        args.from_weight = "pretrain"
    if args.on_policy and args.teacher_top_k:
        raise UsageError("--on_policy asks about answers that --teacher_top_k cannot know before: give one of the two")
    if args.loss_type == "jsd" and args.jsd_beta == 0:
        raise UsageError("--jsd_beta 0 is no mixture: give a number between 0 and 1, or --loss_type forward_kl")
    return args


def main(argv=None):
    args = parse_arguments(argv)

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from dataset.rendering import ChatRenderer
    from inference.evaluation import validate
    from inference.writer import end_ids
    from training.engine.optimizers import optimizers_for
    from training.engine.plan import plan_for
    from training.engine.run import Run
    from training.losses.distillation import Divergence, distillation_loss
    from training.stages.data import facts_of, identity_of, open_texts_or_chats
    from training.stages.on_policy import is_on_policy, own_answers
    from training.stages.samples import answer_questions, continue_prompts
    from training.stages.starting_point import starting_point
    from training.stages.teacher import open_teacher, taught_rows

    with Run(args, stage="distill") as run:
        # The two networks, and data
        model, tokenizer, origin = starting_point(args)
        run.say(f"begins with {origin}")
        teacher = open_teacher(args, tokenizer, run.device)
        run.say(f"learns from {teacher}")
        rows, validation = open_texts_or_chats(args, tokenizer, run.say)
        texts = facts_of(rows)["kind"] == "text"
        if texts and args.on_policy:
            raise UsageError("--on_policy answers conversations, and --data_path holds texts: give one or the other")
        renderer = ChatRenderer(tokenizer)
        tokenizer = renderer.tokenizer  # an imported one may have brought another chat template

        # How long, in which steps, at which learning rate
        student = run.footprint(model, rows.row_length)
        footprint = student if args.teacher_top_k else teacher.beside(student)
        plan = plan_for(run, model, rows, origin, footprint=footprint)
        model.to(run.device)

        # The loss of a token; and the teacher, who is asked in every step, or about everything now
        divergence = Divergence(args.loss_type, args.temperature, args.jsd_beta)
        outcomes = teacher.outcomes(model)  # tokens that both know

        def objective(ce, kl):
            return args.alpha * ce + (1 - args.alpha) * kl

        loss = f"{divergence}, alpha {args.alpha:g}"
        on_policy = f"{args.on_policy:g}, {args.max_new_tokens} tokens" if args.on_policy else "no"
        identity = identity_of(rows, validation, teacher=teacher.name, loss=loss, on_policy=on_policy)
        lessons = rows
        if args.teacher_top_k:
            lessons = taught_rows(run, teacher, rows, args.teacher_top_k, divergence, outcomes, plan.batch_size)
            identity["teacher"], teacher = lessons.name, None

        # The optimizer, and --resume, which refuses another teacher or loss
        optimizers = optimizers_for(model, args, plan.learning_rate, run.device_choice.dtype)
        facts, ends = facts_of(rows) | {"kind": "distillation"}, end_ids(tokenizer, renderer)
        run.begin(model, tokenizer, plan, optimizers, data=identity, facts=facts)

        for step in run.steps():
            sampled = is_on_policy(args.seed, step.index, args.on_policy)
            batches = step.micro_batches(lessons)
            if sampled:
                batches = own_answers(run, model, batches, step.index, ends, args.max_new_tokens)
            for batch in batches:
                with run.autocast():
                    taught = batch.taught if teacher is None else teacher.of(batch, outcomes)
                    features = model.features(batch.tokens, batch.positions)
                    # What the student said itself is no label: there, only the teacher knows what is right.
                    found = distillation_loss(
                        features,
                        model.lm_head.weight[:outcomes],
                        batch.targets,
                        taught,
                        divergence,
                        (lambda ce, kl: kl) if sampled else objective,
                    )
                step.backward(found.loss, batch.trained)
                step.measure(batch.trained, kl=found.kl, teacher_agreement=found.agreed)
                step.measure(0 if sampled else batch.trained, ce=found.ce, token_accuracy=found.correct)
            step.update()
            if args.on_policy:
                step.record(on_policy=int(sampled))

            if step.evaluates and validation:
                step.report(validate(run, model, validation))
            if step.samples:
                shown = continue_prompts(run, model, tokenizer) if texts else None
                run.say(shown or answer_questions(run, model, tokenizer, renderer))


if __name__ == "__main__":
    run_main(main)
