"""PPO: learn from a reward model, token by token, beside a critic that says what to expect (InstructGPT).

    r_t  = -kl_coef (log p_old - log p_ref)(a_t),  at the last action + (score - mean) / deviation
    A    = GAE(r, V; gamma, lambda), whitened           V: the critic; R = A + V before whitening
    loss = mean over actions of  -min(rho A, clip(rho, 1 - eps, 1 + eps) A),  rho = p_policy / p_old
    critic: mean over actions of  1/2 max((v - R)^2, (clip(v, V - eps, V + eps) - R)^2)

Each step samples an answer to every prompt, has it scored by the reward model, and makes several updates on it, of all
parameters of the policy and of the critic. The critic begins as the reward model. The KL is measured to the reference,
a frozen copy of the policy as training begins.

    python train_ppo.py --data_path my_prompts.jsonl
    python train_ppo.py --data_path my_prompts.jsonl --kl_target 6 --ptx_weight 0.5 --ptx_path my_chats.jsonl

Begins with out/full_sft_512.pth and out/reward_512.pth and writes out/ppo_512.pth every 100 steps; chat with it by
`python eval_model.py --model_mode 1 --weight ppo`.
"""

from training.stages.arguments import (
    StageParser,
    add_data_arguments,
    add_model_arguments,
    add_optimization_arguments,
    add_run_arguments,
    run_main,
)
from training.stages.rl_arguments import add_ppo_arguments, add_rollout_arguments, refuse_contradictions
from training.stages.stage_arguments import add_lora_arguments


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    add_data_arguments(parser, "prompts: JSON lines, parquet, ... (docs/ppo.md)", max_seq_len=512)
    add_model_arguments(parser, start_from="full_sft")
    add_lora_arguments(parser)
    add_rollout_arguments(parser, mini_batches=4)
    add_ppo_arguments(parser)
    add_optimization_arguments(parser, optimizer="adamw", weight_decay=0.0)
    add_run_arguments(parser, weight_name="ppo")
    parser.set_defaults(compile="off")  # answers have other lengths in every step
    args = parser.parse_args(argv)
    refuse_contradictions(args)
    return args


LEARNING_RATE = {"imported": {"adamw": 1e-6, "muon": 1e-5}, "ours": {"adamw": 5e-5, "muon": 2.5e-4}}
ADAPTER_RATE = {"imported": {"adamw": 1e-5}, "ours": {"adamw": 7.5e-4}}  # half of GRPO's, as above; not measured


def main(argv=None):
    args = parse_arguments(argv)

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from dataset.rendering import ChatRenderer
    from dataset.rows.prompts import prompts_for
    from model.fingerprint import fingerprint
    from training.engine.iteration import Iteration
    from training.engine.optimizers import optimizers_for
    from training.engine.run import Run
    from training.losses.ppo import clipped_policy_loss, clipped_value_loss
    from training.rewards.loading import check_columns, load_rewards
    from training.stages.actor_critic import (
        CRITIC,
        PARTS_BESIDE,
        ActorCritic,
        critic_of,
        open_reward_model,
        rate_of_critic,
        warn_of_warmup,
    )
    from training.stages.adapters import add_adapters
    from training.stages.answer_rows import action_log_probabilities
    from training.stages.data import describe_rows, identity_of, open_data
    from training.stages.mixed_in import MixedIn
    from training.stages.rated_answers import columns_of
    from training.stages.reference import frozen_copy, prepare_with_reference
    from training.stages.rollout_plan import plan_of_rollouts
    from training.stages.starting_point import starting_point
    from training.stages.stop_rules import StopRules

    with Run(args, stage="ppo") as run:
        # The policy, the reward model, and the critic, which begins as the reward model
        machine = run.machine
        policy, tokenizer, origin = starting_point(args, chats=True)
        run.begins_with(policy, origin)
        add_adapters(args, policy, origin)
        reward_model = open_reward_model(args, policy, tokenizer, machine.choice, run.say)
        critic = critic_of(reward_model)
        watched = load_rewards(args.watch, tokenizer=tokenizer, device=machine.choice)
        mixed_in = MixedIn(args, tokenizer, machine, run.say)
        rows, validation = open_data(prompts_for(args.max_new_tokens), args, tokenizer, run.say)
        check_columns(watched, columns_of(rows))

        # How long, in which steps, at which learning rate
        rates = ADAPTER_RATE if args.lora else LEARNING_RATE
        beside = PARTS_BESIDE * sum(p.numel() for p in critic.parameters())
        plan = plan_of_rollouts(args, machine, policy, rows, origin, base_rates=rates, parameters_beside=beside)
        warn_of_warmup(args.critic_warmup, plan.steps, run.say)

        # The reference: a frozen copy of the policy, before it learns
        begins_as = fingerprint(policy)
        policy.to(machine.device)
        prepare_with_reference(run, policy, plan)  # all three networks use the same kernels
        machine.run_seconds = None  # measured on updates alone, without the sampling
        reference = frozen_copy(policy)
        machine.compile(reference)
        critic.recomputes_layers = plan.activation_checkpointing
        machine.compile(critic)

        # The optimizers, and --resume, which refuses another reward model or reference
        optimizers = optimizers_for(policy, args, plan.learning_rate, machine)
        critic_rate = rate_of_critic(args, plan, LEARNING_RATE)  # it is a whole network, even with --lora
        others = {CRITIC: (critic, optimizers_for(critic, args, critic_rate, machine))}
        identity = identity_of(
            rows, validation, judge=reward_model.identity, mixed_in=mixed_in.identity, reference=begins_as
        )
        run.begin(policy, tokenizer, plan, optimizers, data=identity, description=describe_rows(rows), others=others)
        ppo = ActorCritic(run, policy, critic, reference, reward_model, ChatRenderer(tokenizer), watched)
        rules = StopRules(run)

        for step in run.steps(Iteration):
            if rules.end_before(step):
                break
            answers = ppo.sample(step, rows)  # once; a resumed run continues with the same answers
            for update in step.updates(args.inner_epochs * args.mini_batches):
                for number, micro_batch in enumerate(ppo.batches(step, answers, update)):
                    batch, old, advantages, old_values, returns = micro_batch
                    with run.autocast():  # the critic first: its activations are gone before those of the policy come
                        values = ppo.values(batch)
                    value_loss = clipped_value_loss(values, old_values, returns, batch.mask, args.clip_value)
                    step.backward(value_loss.loss_sum, value_loss.count, network=CRITIC)

                    with run.autocast():
                        log_p, entropy = action_log_probabilities(policy, batch, args.temperature)
                    if not ppo.learns(step):  # in the first --critic_warmup steps
                        log_p = log_p.detach()
                    policy_loss = clipped_policy_loss(log_p, old, advantages, batch.mask, args.clip, args.clip)
                    if ppo.learns(step):
                        with run.autocast():
                            ptx_loss = mixed_in.loss(step, policy, (update, number), batch.actions)
                        step.backward(policy_loss.loss_sum + ptx_loss, policy_loss.count)
                    ppo.measure_update(step, update, batch, policy_loss, value_loss, log_p, old, entropy)
                step.update()
            ppo.adapt_kl_coef(step, answers)
            rules.note(step)

            if step.evaluates and validation:
                step.report(ppo.validate(validation))
            if step.samples:
                ppo.show(step, answers)


if __name__ == "__main__":
    run_main(main)
