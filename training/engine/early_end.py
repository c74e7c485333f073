"""How a run ends before its last step: on a signal, after numbers that are not finite, without memory, on a failure.

A run that comes to its end does not load this.
"""

import json
import os
import signal

import torch

from model.errors import SproutError, UsageError
from model.files.checkpoint import save_checkpoint
from model.whole import first_not_finite
from training.engine import distributed
from training.engine.machine import EXIT_CODES, Interrupted
from training.engine.not_finite import DivergedError
from training.engine.output import Output
from training.engine.state import whole_state
from training.report.description import NAME, way_to_page, write_description
from training.report.going_on import GO_ON, command_to_go_on


class OfOneProcessError(SproutError):
    """What went wrong in one of several processes."""

    of_all_processes = False


def end_early(run, error: BaseException) -> None:
    """Saves what can be saved and says what to do. `error` ends the `training.engine.run.Run`.

    Raises `SproutError` in place of an error of PyTorch that says that the GPU's memory is used up, or that another
    process has ended, and `Interrupted` in place of one of a compiler that a signal has ended, too.
    """
    if run.machine.world_size == 1:
        return _end(run, error)
    from training.engine.collectives import LostProcessError, ended_by_another, is_of_another, lost

    with ended_by_another(run):
        if run.machine.shards and is_of_another(error):
            raise lost(error) from error
        if isinstance(error, LostProcessError):
            # It may have come in the middle of a step that updates several networks, which would then not fit together.
            if run.machine.is_main and run.metrics and len(run.updaters) == 1:
                _save_before(run)
            raise error
        before = run.saved_at
        _end(run, error)
        if isinstance(error, SproutError) and not _is_said_elsewhere(error):
            said = of_this_process(str(error))
            if run.saved_at != before and not run.machine.is_main:  # else it is said already
                said += f"; step {run.state.step} is saved, to go on with: {command_to_go_on('--resume')}"
            raise OfOneProcessError(said) from error


def _is_said_elsewhere(error: SproutError) -> bool:
    """Whether the error needs no word on its process: the main one prints it, or another process has met it, too."""
    if isinstance(error, UsageError):  # of flags, and of files that they name: those of a machine meet the same
        return os.environ.get("LOCAL_RANK") != "0" or distributed.is_main()
    if isinstance(error, DivergedError) or getattr(error, "everywhere", False):
        return True
    from training.engine.collectives import is_said_by_the_main_process

    return is_said_by_the_main_process(str(error))


def of_this_process(words: str) -> str:
    """The words of an error, with the process that has met it, if there are several."""
    count = distributed.world_size()
    return words if count == 1 else f"process {distributed.rank() + 1} of {count}: {words}"


def _end(run, error: BaseException) -> None:
    if isinstance(error, Interrupted):
        _stop(run)
    elif _compiler_was_interrupted(run, error):
        _stop(run)
        raise Interrupted(run.machine.interrupts.exit_code) from None
    elif isinstance(error, DivergedError):
        _save_what_is_good(run)
        if run.output and not run.args.dry_run:
            run.say(way_to_page(run.output.logs))
    elif isinstance(error, torch.OutOfMemoryError):
        said = of_this_process(without_memory(error, run.plan, bool(run.machine.shards)))
        raise OfOneProcessError(said) from error
    elif isinstance(error, SproutError) and (run.machine.is_main or not getattr(error, "everywhere", False)):
        _save_before(run)


def _compiler_was_interrupted(run, error: BaseException) -> bool:
    """Whether a signal to a run that is alone has also ended the C++ compiler, as Ctrl-C in a terminal does."""
    of_compiling = type(error).__module__.startswith(("torch._inductor", "torch._dynamo"))
    return of_compiling and run.machine.world_size == 1 and run.machine.interrupts.received is not None


def _save_before(run) -> None:
    """Saves the last whole update before a failure in the loop, such as that of a reward of the user's.

    What the unfinished update has added up is not in a save, so --resume makes it again.
    """
    if run.args.dry_run or (run.machine.is_main and run.metrics is None):
        return
    if run.saved_at == run.place or not (run.state.step or run.state.updates):
        return
    run.progress.close()
    try:
        if run.machine.world_size == 1:
            run.save()
        elif not _save_alone(run):
            return
    except (
        SproutError,
        OSError,
        RuntimeError,
    ):  # a full disk, a GPU that has failed: the first failure is what is said
        return
    way = "" if GO_ON in os.environ else f"; with what failed mended, go on with: {command_to_go_on('--resume')}"
    run.say(f"stopped at step {run.state.step} of {run.plan.steps}, saved{way}")


def _save_alone(run) -> bool:
    """Saves without the other processes, which may wait elsewhere for what this one was to send. Says whether it could.

    All have the same networks and optimizers, unless they are spread. An unfinished iteration has answers that each
    process knows only its own of: before its first update they are left out and sampled again, after it nothing is
    saved.
    """
    state = run.state
    if run.machine.shards or (state.kept and state.updates):
        return False
    if any(map(first_not_finite, run.networks.values())) or run.saved_at == (state.step, len(state.updates)):
        return False
    none = [{}] * run.machine.world_size
    contents = whole_state(run.identity, state, run.networks, run.updaters, lambda kept: none)
    run._save_weights()
    save_checkpoint(run.output.resume_file, contents)
    run.saved_at = run.place
    return True


def _stop(run) -> None:
    """Saves the last completed update unless it is saved already."""
    run.progress.close()
    if run.args.dry_run:
        return
    if run.saved_at != run.place:
        run.save()
    distributed.barrier()  # torchrun ends all processes as soon as one exits
    for number in EXIT_CODES:  # everything is saved, and no signal may change the exit code now
        signal.signal(number, signal.SIG_IGN)
    run.machine.interrupts.before.clear()
    way = "" if GO_ON in os.environ else f"; go on with: {command_to_go_on('--resume')}"  # the quickstart says its own
    run.say(way_to_page(run.output.logs))
    run.say(f"stopped at step {run.state.step} of {run.plan.steps}, saved{way}")
    if run.machine.is_main:
        run.metrics.draw()


def stop_here(run, why: str) -> None:
    """Ends a run whose stage wants no further step: saves, draws, and says why, in run.json too. The loop then ends."""
    run.progress.close()
    if run.args.dry_run:  # of a run that goes on
        return run.say(f"ends after step {run.state.step} of {run.plan.steps}: {why}")
    if run.saved_at != run.place:
        run.save()
    if run.machine.is_main:
        run.metrics.draw()
        path = run.output.logs / NAME
        facts = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}  # the logs may have been removed
        write_description(run.output.logs, run.description, **facts | {"stopped": why})
    run.say(way_to_page(run.output.logs))
    run.say(f"stopped after step {run.state.step} of {run.plan.steps}: {why}; {run.output.weight_file} is saved")


def _save_what_is_good(run) -> None:
    """Saves the weights of the last good update."""
    if run.spoilt():
        run.say(f"the weights themselves are not finite, so they were not saved: {way_back(run.output)}")
    elif run.state.step > 0 and not run.args.dry_run:
        run.save()
        run.say(begin_again(run.output, run.state.step))


def without_memory(error: Exception, plan, shards: bool = False) -> str:
    """What to do when the GPU's memory is used up; `plan`: that of the run, or None where it has none yet.

    shards: whether processes share the network, which goes without --fit and cheap checkpointing.
    """
    flags = [] if shards else ["--fit GB, which chooses a micro-batch for so much memory"]
    if plan is not None and plan.batch_size > 1:
        part = max(size for size in range(1, plan.batch_size // 2 + 1) if plan.batch_size % size == 0)
        times = plan.accumulation_steps * plan.batch_size // part
        flags.append(f"--batch_size {part} --accumulation_steps {times} for the same steps in smaller parts")
    grade = plan is not None and plan.activation_checkpointing
    # Compiled layers already compute again what is cheap.
    if not grade and not shards and not (plan and getattr(plan.footprint, "compiled", False)):
        flags.append("--activation_checkpointing cheap, which takes a little longer")
    if grade in (False, "cheap"):
        flags.append("--activation_checkpointing layers, which needs least and takes longer")
    reason = next(iter(str(error).splitlines()), "") or "no reason is given"
    ways = ", or ".join(flags) or "a smaller --max_seq_len"
    return f"the GPU's memory is used up ({reason}): give {ways}; the last checkpoint is intact"


def not_saved(run, spoilt: str) -> SproutError:
    """The error of a run whose parameter `spoilt` is not finite, perhaps in another process. Nothing saves it later."""
    run.saved_at = run.place
    step = run.state.step
    way = way_back(run.output)
    error = SproutError(f"{spoilt} is not finite after step {step}, so nothing was saved: {way}")
    error.everywhere = True
    return error


def way_back(output: Output) -> str:
    """The advice when the run could not save its weights."""
    if not output.weight_file.exists():
        return "begin again with a lower --learning_rate"
    return (
        f"the last save in {output.weight_file} is intact; {_from(output, 'it')} a lower --learning_rate, or if the"
        f" machine is to blame, go on with: {command_to_go_on('--resume')}"
    )


def begin_again(output: Output, step: int) -> str:
    """The advice when the weights of the last good step were saved."""
    return (
        f"the weights after step {step} are in {output.weight_file}; {_from(output, 'them')} a lower --learning_rate,"
        " or with --dtype float32"
    )


def _from(output: Output, what: str) -> str:
    """How to begin again; not from adapters, since they are not a network."""
    return "begin again with" if output.of_adapters else f"begin again from {what} with --from_weight and"
