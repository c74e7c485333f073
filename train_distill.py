"""Distillation: a small network learns how a large one predicts every next token.

    loss = mean over the trained tokens t of  alpha * -log q(token_t) + (1 - alpha) * tau^2 * KL(p_tau || q_tau)
    p, q = what teacher and student predict after the tokens before t; p_tau, q_tau: softmax(logits / tau)

The first part is the loss of fine-tuning: the token of the data is right and every other one wrong. The second part
teaches how likely each token is for the teacher, which is more information. --loss_type chooses other divergences
(`training/losses/distillation.py`). Every parameter of the student is updated (but see --freeze_layers), none of the
teacher. Data are conversations or texts; both networks must have the same tokenizer.

    python train_distill.py --data_path my_chats.jsonl --teacher_weight some/hf_folder
    python train_distill.py --data_path my_chats.jsonl --from_weight small.pth --loss_type jsd --on_policy 0.5

The teacher is out/full_sft_512.pth. The student begins with out/pretrain_512.pth, where --hidden_size chooses
among several (--preset begins a new network), and is written to out/distill_512.pth every 100 steps; chat with it
by `python eval_model.py --model_mode 1 --weight distill`.
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
from training.stages.stage_arguments import add_distillation_arguments, refuse_unused


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    data_help = "conversations or texts: JSON lines, parquet, ... (docs/chat_data.md), each with an optional weight"
    add_data_arguments(parser, data_help, max_seq_len=768)
    add_model_arguments(parser, start_from="pretrain")
    parser.set_defaults(from_weight=None)  # set to the default below, unless --preset asks for a new student
    add_distillation_arguments(parser)
    add_optimization_arguments(parser, optimizer="muon", weight_decay=0.0)
    add_run_arguments(parser, weight_name="distill")
    args = parser.parse_args(argv)
    refuse_unused(parser, args, args.loss_type)
    if not (args.preset or args.from_weight):
        args.from_weight = "pretrain"
    if args.on_policy and args.teacher_top_k:
        raise UsageError("--on_policy asks about answers that --teacher_top_k cannot know before: give one of the two")
    if args.max_new_tokens != parser.get_default("max_new_tokens") and not args.on_policy:
        raise UsageError("--max_new_tokens is for sampled answers: give --on_policy, or leave it out")
    if args.loss_type == "jsd" and args.jsd_beta == 0:
        raise UsageError("--jsd_beta 0 is no mixture: give a number between 0 and 1, or --loss_type forward_kl")
    return args


def main(argv=None):
    args = parse_arguments(argv)

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from dataset.rendering import ChatRenderer
    from training.engine.optimizers import optimizers_for
    from training.engine.plan import plan_for
    from training.engine.run import Run
    from training.losses.distillation import Divergence, distillation_loss
    from training.stages.chat_samples import answer_questions
    from training.stages.checks import continue_prompts, validate
    from training.stages.data import describe_rows, identity_of, open_data
    from training.stages.kinds import texts_or_chats
    from training.stages.on_policy import is_on_policy, own_answers
    from training.stages.starting_point import starting_point
    from training.stages.teacher import lessons_of, open_teacher, with_teacher

    with Run(args, stage="distill") as run:
        # The two networks, and the data
        machine = run.machine
        model, tokenizer, origin = starting_point(args, chats=True)
        run.begins_with(model, origin)
        teacher = open_teacher(args, model, tokenizer, machine.device)
        run.say(f"learns from {teacher}")
        kind = texts_or_chats(args)
        texts = kind.name == "text"
        run.more_facts = lambda: {"trained_on": "texts" if texts else "chats"}
        if texts and args.on_policy:
            raise UsageError("--on_policy answers conversations, and --data_path holds texts: give one or the other")
        rows, validation = open_data(kind, args, tokenizer, run.say)

        # How long, in which steps, at which learning rate
        beside = 0 if args.teacher_top_k else teacher.parameters
        plan = plan_for(args, machine, model, rows, origin, parameters_beside=beside)
        model.to(machine.device)
        run.prepare(model, plan)
        machine.run_seconds = with_teacher(machine.run_seconds, teacher, model, args)

        # The loss of a token, and the lessons: the teacher predicts in every step, or everything now
        divergence = Divergence(args.loss_type, args.temperature, args.jsd_beta)
        outcomes = teacher.outcomes(model)  # tokens that both can predict

        def objective(ce, kl):
            return args.alpha * ce + (1 - args.alpha) * kl

        def objective_of_own_answers(ce, kl):
            return kl  # the student's own answers are no labels: there, it learns from the teacher only

        lessons = lessons_of(teacher, rows, args, divergence, outcomes, machine, plan.batch_size)
        del teacher  # the lessons keep it if they need it

        # The optimizer, and --resume, which refuses another teacher or loss
        optimizers = optimizers_for(model, args, plan.learning_rate, machine)
        identity = identity_of(rows, validation, teacher=lessons.name)
        description = describe_rows(rows) | {"kind": "distillation"}
        renderer = ChatRenderer(tokenizer)
        run.begin(model, tokenizer, plan, optimizers, data=identity, description=description)

        for step in run.steps():
            on_policy = is_on_policy(args.seed, step.index, args.on_policy)
            combine = objective_of_own_answers if on_policy else objective
            batches = step.micro_batches(lessons)
            if on_policy:
                batches = own_answers(model, batches, renderer, machine, args, step=step.index, rows=plan.batch_size)
            for batch in batches:
                with run.autocast():
                    features = model.features(batch.tokens, batch.positions)
                    head = model.lm_head.weight[:outcomes]
                    result = distillation_loss(
                        features, head, batch.targets, lessons.taught(batch), divergence, combine
                    )
                step.backward(result.loss, batch.trained)
                step.measure(batch.trained, kl=result.kl, teacher_agreement=result.agreed)
                if not on_policy:
                    step.measure(batch.trained, ce=result.ce, token_accuracy=result.correct)
            step.update()
            if args.on_policy:
                step.record(on_policy=int(on_policy))

            if step.evaluates and validation:
                step.report(validate(model, validation, machine, plan.batch_size))
            if step.samples and texts:
                step.show(continue_prompts(model, tokenizer, machine, args.seed))
            elif step.samples:
                step.show(answer_questions(model, renderer, machine, args.seed))


if __name__ == "__main__":
    run_main(main)
