"""When to stop learning from one's own answers: a run that goes on exploits its reward, or has collapsed.

Each rule looks at the iteration before, so that a run which stops has saved all that it learned.
"""

FEWEST = 5  # iterations before a rule may stop a run: the first answers are those of the first policy


class StopRules:
    """`stop(step)` says whether to end the run before this step, and says why.

    The flags: --stop_kl (nats an answer), --stop_entropy (share of the first entropy), --stop_cut (share of answers
    that reach --max_new_tokens); 0 turns a rule off.
    """

    def __init__(self, args, run):
        self.args, self.run = args, run
        self.before: dict | None = None

    def stop(self, step) -> bool:
        metrics, self.before = self.before, step
        why = why_stop(self.args, self.run.state.remembered, metrics.metrics) if metrics is not None else None
        if why and step.index >= FEWEST:
            from training.engine.early_end import stop_here

            stop_here(self.run, why)
        return bool(why) and step.index >= FEWEST


def why_stop(args, remembered: dict, metrics: dict) -> str | None:
    """A sentence about the first rule that the metrics of an iteration break; None if they break none."""
    kl, entropy, cut = (metrics.get(name) for name in ("objective/kl", "entropy", "completions/clipped_ratio"))
    first = remembered.setdefault("first_entropy", entropy)
    if args.stop_kl and kl is not None and kl > args.stop_kl:
        return f"answers are {kl:.1f} nats from the first policy, more than --stop_kl {args.stop_kl:g}"
    if args.stop_entropy and first and entropy is not None and entropy < args.stop_entropy * first:
        return f"the entropy fell from {first:.3f} to {entropy:.3f}: answers hardly vary any more (--stop_entropy)"
    if args.stop_cut and cut is not None and cut > args.stop_cut:
        return f"{cut:.0%} of the answers reach --max_new_tokens without an end (--stop_cut)"
    return None
