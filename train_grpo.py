"""GRPO: learn from rewards, without a critic: an answer is compared with the other answers to the same prompt.

    A    = (r - mean r) / (std r + 1e-4)                over the answers of one prompt (--scale_rewards)
    loss = mean over actions of  -min(rho A, clip(rho, 1 - eps_low, 1 + eps_high) A)        (--loss_type)
    rho  = p_policy(action) / p_old(action)             old: the policy that sampled; 1 in the first update

Each step samples --group_size answers to every prompt, rates them by the rewards of --reward, and updates all
parameters once, or more often (--inner_epochs, --mini_batches). With --kl_coef, the policy stays near the reference, a
frozen copy of it as training begins; with --ptx_weight, the fine-tuning loss on some conversations works against
forgetting.

    python train_grpo.py --data_path gsm8k.jsonl --reward exact --reward format:0.2
    python train_grpo.py --data_path my_prompts.jsonl --reward my_reward.py:shorter_is_better

Begins with out/full_sft_512.pth and writes out/grpo_512.pth every 100 steps; chat with it by
`python eval_model.py --model_mode 1 --weight grpo`.
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
from training.stages.rl_arguments import add_grpo_arguments, add_rollout_arguments, refuse_contradictions
from training.stages.stage_arguments import add_lora_arguments, refuse_unused


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    add_data_arguments(parser, "prompts: JSON lines, parquet, ... (docs/grpo.md)", max_seq_len=512)
    add_model_arguments(parser, start_from="full_sft")
    add_lora_arguments(parser)
    add_rollout_arguments(parser)
    add_grpo_arguments(parser)
    add_optimization_arguments(parser, optimizer="adamw", weight_decay=0.0)
    add_run_arguments(parser, weight_name="grpo")
    parser.set_defaults(compile="off")  # answers have other lengths in every step
    args = parser.parse_args(argv)
    refuse_contradictions(args)
    refuse_unused(parser, args, args.loss_type)
    if args.max_turns != parser.get_default("max_turns") and not args.tools:
        raise UsageError("--max_turns is for answers with tools: give --tools, or leave it out")
    return args


LEARNING_RATE = {"imported": {"adamw": 1e-6, "muon": 1e-5}, "ours": {"adamw": 1e-4, "muon": 5e-4}}
ADAPTER_RATE = {"imported": {"adamw": 1e-5}, "ours": {"adamw": 1.5e-3}}  # "ours" is measured (docs/grpo.md)


def main(argv=None):
    args = parse_arguments(argv)

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from dataset.rendering import ChatRenderer
    from dataset.rows.prompts import prompts_for
    from inference.tools.toolbox import Toolbox
    from model.fingerprint import fingerprint
    from training.engine.iteration import Iteration
    from training.engine.optimizers import optimizers_for
    from training.engine.run import Run
    from training.losses.policy import policy_loss
    from training.rewards.loading import check_columns, load_rewards
    from training.stages.adapters import add_adapters
    from training.stages.advice import Advice
    from training.stages.answer_rows import action_log_probabilities
    from training.stages.data import describe_rows, identity_of, open_data
    from training.stages.groups import Groups, settings_of
    from training.stages.mixed_in import MixedIn
    from training.stages.rated_answers import columns_of
    from training.stages.reference import frozen_copy, prepare_with_reference
    from training.stages.rollout_plan import plan_of_rollouts, room_of_tools
    from training.stages.rollout_report import measure_policy
    from training.stages.starting_point import starting_point

    with Run(args, stage="grpo") as run:
        # The policy, the prompts, and what rates an answer
        machine = run.machine
        settings = settings_of(args)
        policy, tokenizer, origin = starting_point(args, chats=True)
        run.begins_with(policy, origin)
        add_adapters(args, policy, origin)
        rewards = load_rewards(args.reward or ["exact"], tokenizer=tokenizer, device=machine.choice, say=run.say)
        toolbox = Toolbox(args.tools) if args.tools else None
        renderer = ChatRenderer(tokenizer)
        room = args.max_new_tokens + room_of_tools(toolbox, renderer)
        rows, validation = open_data(prompts_for(room, args.group_size), args, tokenizer, run.say)
        check_columns(rewards, columns_of(rows))
        mixed_in = MixedIn(args, tokenizer, machine, run.say)

        # How long, in which steps, at which learning rate
        has_reference = args.kl_coef > 0
        plan = plan_of_rollouts(
            args,
            machine,
            policy,
            rows,
            origin,
            base_rates=ADAPTER_RATE if args.lora else LEARNING_RATE,
            group_size=args.group_size,
            has_reference=has_reference,
        )

        # What --resume compares: the data, the rewards, and what else the policy learns from
        identity = identity_of(rows, validation, rewards=[reward.identity for reward in rewards])
        if toolbox:
            identity["tools"] = toolbox.identity
        if args.ptx_weight:
            identity["mixed_in"] = mixed_in.identity
        if has_reference:
            identity["reference"] = fingerprint(policy)

        # The reference, and the optimizer
        policy.to(machine.device)
        prepare_with_reference(run, policy, plan)
        machine.run_seconds = None  # measured on updates alone, without the sampling
        reference = None
        if has_reference:
            reference = frozen_copy(policy)
            machine.compile(reference)
        optimizers = optimizers_for(policy, args, plan.learning_rate, machine)
        run.begin(policy, tokenizer, plan, optimizers, data=identity, description=describe_rows(rows))
        groups = Groups(run, policy, reference, renderer, rewards, toolbox)
        advice = Advice(run, groups.names)

        for step in run.steps(Iteration):
            answers = groups.sample(step, rows)  # once; an interrupted run goes on with the same ones
            for update in step.updates(args.inner_epochs * args.mini_batches):
                for number, micro_batch in enumerate(groups.batches(step, answers, update)):
                    batch, old, advantages, ref_log_p = micro_batch
                    with run.autocast():
                        log_p, entropy = action_log_probabilities(policy, batch, args.temperature)
                    if old is None:  # the step has one update: this is the policy that sampled
                        old = log_p.detach()
                    loss = policy_loss(args.loss_type, log_p, old, advantages, batch.mask, settings, ref_log_p)
                    with run.autocast():
                        ptx_loss = mixed_in.loss(step, policy, (update, number), loss.count)
                    step.backward(loss.loss_sum + ptx_loss, loss.count, batch.actions)
                    measure_policy(step, update, batch, loss, log_p, old, entropy)
                step.update()
            advice.after(step)

            if step.evaluates and validation:
                step.report(groups.validate(validation))
            if step.samples:
                groups.show(step, answers)


if __name__ == "__main__":
    run_main(main)
