"""What a run of GRPO tells its user: why nothing is learned, and the flag that helps; of PPO, idle flags."""

STEPS = 5  # in a row
MOST_EQUAL, MOST_CUT = 0.9, 0.5  # shares of the groups, and of the answers
LIMITS = ("clip_low", "clip_high", "dual_clip")  # of ratios between two updates of a step; None: not given


class Advice:
    """Looks at the metrics of each step, and warns of a fault that lasts for `STEPS` steps in a row, once in a run. At
    the beginning it warns of flags that change nothing."""

    def __init__(self, run, names: list[str]):
        self._run = run
        self._names = names
        self._in_a_row = {}
        self._said = set()
        warn_of_limits(run, [f"--{name}" for name in LIMITS if getattr(run.args, name) is not None])

    def after(self, step) -> None:
        faults = faults_in(step.metrics, self._run.args, self._names)
        self._in_a_row = {fault: self._in_a_row.get(fault, 0) + 1 for fault in faults}
        for fault, sentence in faults.items():
            if self._in_a_row[fault] == STEPS and fault not in self._said:
                self._said.add(fault)
                self._run.say(f"warning: for {STEPS} steps, {sentence}")


def warn_of_limits(run, limits: list[str]) -> None:
    """Says of flags that limit what a further update of a step may change that there is none."""
    if limits and run.args.inner_epochs * run.args.mini_batches == 1:
        run.say(
            f"warning: a step has one update, in which all ratios are 1, so {one_of(limits)} changes nothing: give"
            " --mini_batches or --inner_epochs above 1"
        )


def faults_in(metrics: dict, args, names: list[str]) -> dict[str, str]:
    """The faults of a step, each by its name with a sentence about it; names: those of the rewards."""
    faults = {}
    for name in names:
        if f"rewards/{name}/mean" not in metrics:
            faults[name] = f"the reward {name} has rated no answer: do the records hold what it compares with?"
    equal, cut = metrics.get("frac_reward_zero_std", 0.0), metrics.get("completions/clipped_ratio", 0.0)
    if equal > MOST_EQUAL:
        ways = ["prompts that are sometimes answered well", "a finer reward", "a larger --group_size"]
        if not args.dynamic_sampling:
            ways.append("--dynamic_sampling 2")
        faults["equal"] = (
            f"nearly all groups had equal rewards ({equal:.0%} in the last one), so nothing is learned from them: take"
            f" {one_of(ways)}"
        )
    if cut > MOST_CUT:
        limits = [f"--max_new_tokens {args.max_new_tokens}"]
        if args.tools:
            limits += [f"--max_turns {args.max_turns}", f"--max_seq_len {args.max_seq_len}"]
        ways = ["raise it"]
        if "overlong" not in names:
            ways.append("add --reward overlong")
        if not args.mask_truncated:
            ways.append("add --mask_truncated")
        faults["cut"] = (
            f"most answers ({cut:.0%} in the last one) reached {one_of(limits)} without an end: {one_of(ways)}"
        )
    return faults


def one_of(ways: list[str]) -> str:
    """Words to choose from: `a, b or c`."""
    *others, last = ways
    return f"{', '.join(others)} or {last}" if others else last
