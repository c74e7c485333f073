"""When to stop learning from one's own answers, because the policy exploits its reward or has collapsed.

Each rule looks at the iteration before, so that a run which stops has saved all that it learned.
"""

LOOKED_AT = ("objective/kl", "entropy", "completions/clipped_ratio")
FEWEST = 5  # iterations before a rule may stop a run: the first answers are nearly those of the reference


class StopRules:
    """Ends a run when an iteration breaks a rule, and says which.

    The flags: --stop_kl (nats an answer), --stop_entropy (share of the first entropy), --stop_cut (share of answers
    that reach --max_new_tokens); 0 turns a rule off. The measures that they look at are saved with the run, so a
    resumed run ends where it would have ended.
    """

    def __init__(self, run):
        self.run = run

    def note(self, step) -> None:
        """Remembers the measures of a step that is complete."""
        remembered, last = self.run.state.remembered, {name: step.metrics.get(name) for name in LOOKED_AT}
        remembered["last"] = last
        if remembered.get("first_entropy") is None:
            remembered["first_entropy"] = last["entropy"]

    def end_before(self, step) -> bool:
        """Whether to make no further step, this one included; says why."""
        remembered = self.run.state.remembered
        if step.index < FEWEST or "last" not in remembered:
            return False
        if self.run.state.updates:  # interrupted when they were made: it is completed, and then looked at
            return False
        why = why_stop(self.run.args, remembered["first_entropy"], remembered["last"])
        if why:
            from training.engine.early_end import stop_here

            stop_here(self.run, why)
        return why is not None


def why_stop(args, first: float | None, metrics: dict) -> str | None:
    """A sentence about the first rule that the metrics of an iteration break; None if they break none.

    first: the entropy of the first iteration, None if unknown.
    """
    kl, entropy, cut = (metrics.get(name) for name in LOOKED_AT)
    if args.stop_kl and kl is not None and kl > args.stop_kl:
        return f"the KL of an answer to the reference is {kl:.1f} nats, more than --stop_kl {args.stop_kl:g}"
    if args.stop_entropy and first and entropy is not None and entropy < args.stop_entropy * first:
        return f"the entropy fell from {first:.3f} to {entropy:.3f}, so the answers hardly vary (--stop_entropy)"
    if args.stop_cut and cut is not None and cut > args.stop_cut:
        return f"{cut:.0%} of the answers reach --max_new_tokens without an end (--stop_cut)"
    return None
