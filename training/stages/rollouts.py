"""Rollouts: answers that the policy samples, and the rows in which it learns from them.

    answers = sample_answers(policy, prompts, ...)     all answers of a step, as one ragged batch
    for batch in answer_batches(answers, ...):         packed rows (training/stages/answer_rows.py)
        log_p, entropy = action_log_probabilities(policy, batch)       [S, A]

Ids are never decoded and encoded again. Only the log-probabilities that the training kernels compute enter a loss; the
sampler's own probabilities, which other kernels compute, do not.
"""

import copy
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from dataset.cache.prompts import StoredPrompt
from dataset.rows.rows import Kind, ValidationRows
from inference.tools.turns import converse
from model.errors import SproutError, UsageError
from model.generation import new_generator
from model.sampling import Sampling
from training.engine import distributed
from training.engine.plan import MICRO_BATCH_TOKENS, VALIDATION, Plan, plan_for
from training.stages.answer_rows import Answer, AnswerBatch, action_log_probabilities, answer_batches
from training.stages.sampling_memory import MOST, answers_at_once

NUMBERS = {"ended": torch.bool, "last": torch.int64, "calls": torch.int64, "failed": torch.int64}  # of an answer
AT_ONCE = "answers_at_once"  # in the state of a run
MOST_HELD_OUT = 256  # prompts that are answered in a validation
PROMPTS_PER_STEP = 32  # unless --prompts_per_step, or both --batch_size and --accumulation_steps say otherwise


def sample_answers(
    model,
    prompts: Sequence[Sequence[int]],
    renderer,
    machine,
    *,
    max_new_tokens: int,
    temperature: float,
    generator: torch.Generator | None = None,
    toolbox=None,
    max_turns: int = 1,
    max_length: int | None = None,
    at_once: int = MOST,
) -> list[Answer]:
    """An answer to each of `prompts`, drawn from the full softmax(logits / temperature): top-k or top-p would sample
    from another distribution than the one that learns. With tools, an answer has up to `max_turns` turns of at most
    `max_new_tokens` each. at_once: how many are sampled at a time.
    """
    found = []
    for start in range(0, len(prompts), at_once):
        with machine.inference():
            found += converse(
                model,
                prompts[start : start + at_once],
                renderer,
                toolbox,
                max_new_tokens=max_new_tokens,
                max_turns=max_turns,
                max_length=max_length,
                sampling=Sampling(temperature=temperature),
                generator=generator,
                stop=machine.poll,  # never stops the sampling; raises after a signal
            )
    return [Answer(one.ids, one.actions, one.ended, one.last, one.calls, one.failed, one.between) for one in found]


def generator_of(device, *key) -> torch.Generator:
    """Random numbers that follow from `key`, such as seed, step and rank, so that resuming needs no state."""
    return new_generator(device, seed=random.Random(f"rollouts {key}").getrandbits(63))


class Rollouts:
    """What a stage does with the answers of its policy: samples, packs and scores them.

    group: how many answers a prompt gets.
    """

    def __init__(self, run, policy, renderer, group: int = 1, toolbox=None):
        self.args, self.plan, self.machine = run.args, run.plan, run.machine
        self.policy, self.renderer, self.group, self.toolbox = policy, renderer, group, toolbox
        # Tokens of prompt and answer; a row holds inputs, so the last token takes no place.
        wanted, positions = self.plan.row_length // group + 1, policy.config.max_position_embeddings
        if wanted > positions and self.args.max_new_tokens == 1:
            raise UsageError(
                f"a prompt of all {positions} positions of the network leaves none to its answer: give --max_seq_len"
                f" {positions - 1}"
            )
        self.max_length = min(wanted, positions)
        fit, answers = self.args.fit, self.plan.batch_size * self.plan.accumulation_steps * group
        # With tools, the later turns of an answer are read like a prompt.
        longest = self.max_length if toolbox else max(1, self.max_length - self.args.max_new_tokens)
        fitting = answers_at_once(self.plan.footprint, fit, self.max_length, longest, group)
        # How many are sampled at a time changes what is drawn: a resumed run keeps to it, unless fewer fit by now.
        fitting = min(distributed.gathered(min(fitting, run.state.remembered.get(AT_ONCE, MOST))))
        self.at_once = run.state.remembered[AT_ONCE] = fitting
        if self.at_once < min(MOST, answers):
            allows = f"--fit {fit:g}" if fit else "the GPU's memory"
            run.say(f"sampling  {self.at_once} of the {answers} answers of a step at a time, as {allows} allows")

    def prompts_of(self, step, rows, epoch: int) -> list[StoredPrompt]:
        """This process's prompts of the step, in the order of `epoch`."""
        return self.with_tools(rows.batch(epoch, [place for chunk in step.own_places for place in chunk]).prompts)

    def with_tools(self, prompts: Sequence[StoredPrompt]) -> list[StoredPrompt]:
        """The prompts with the schemas of the tools, if there are any."""
        if self.toolbox is None:
            return list(prompts)
        schemas = self.toolbox.schemas
        found = [replace(one, tools=schemas, ids=self.renderer.prompt(one.messages, schemas)) for one in prompts]
        longest = max((len(one.ids) for one in found), default=0)
        if longest > self.max_length - 1:
            raise SproutError(f"a prompt with the tools takes {longest} tokens: give a larger --max_seq_len")
        return found

    def answers_to(self, prompts: Sequence[StoredPrompt], key: tuple) -> list[Answer]:
        """An answer to each prompt, with random numbers that follow from `key`."""
        generator = generator_of(self.machine.device, self.args.seed, distributed.rank(), *key)
        return self._sampled(prompts, self.args.temperature, generator)

    def greedy(self, prompts: Sequence[StoredPrompt]) -> list[Answer]:
        return self._sampled(prompts, 0.0, None)

    def _sampled(self, prompts, temperature: float, generator) -> list[Answer]:
        return sample_answers(
            self.policy,
            [prompt.ids for prompt in prompts],
            self.renderer,
            self.machine,
            max_new_tokens=self.args.max_new_tokens,
            temperature=temperature,
            generator=generator,
            toolbox=self.toolbox,
            max_turns=self.args.max_turns if self.toolbox else 1,
            max_length=self.max_length,
            at_once=self.at_once,
        )

    def parts(self, kept: dict) -> list[np.ndarray]:
        """The numbers of the answers in each mini-batch, by the order that was drawn for them."""
        numbers = kept["order"].numpy()
        if getattr(self.args, "mask_truncated", False):
            numbers = numbers[kept["ended"].numpy()[numbers]]
        return np.array_split(numbers, self.args.mini_batches)

    def rows_of(self, answers: Sequence[Answer], part: np.ndarray) -> Iterator[AnswerBatch]:
        """The micro-batches of a mini-batch, the same in each epoch: so both parts of the first ratio are equal."""
        length, pad_id = self.plan.row_length // self.group, self.renderer.tokenizer.pad_id
        return answer_batches(answers, part, length, self.plan.batch_size * self.group, pad_id, self.group > 1)

    def scored(self, network, score: Callable[[AnswerBatch], Tensor], answers: list[Answer], kept: dict) -> Tensor:
        """score(batch) [S, A] of all answers, float32 [answers, most actions] on the CPU, computed by the kernels of
        training, but without a gradient. network: the one that `score` uses."""
        found, was_training = [], network.training
        network.train()
        for part in self.parts(kept):
            for batch in self.rows_of(answers, part):
                self.machine.poll()
                with self.machine.autocast():  # with gradients: attention without them has other kernels
                    values = score(self.machine.move(batch)).detach().float().cpu()
                found.append((batch.numbers, values))
        network.train(was_training)
        every = torch.zeros(len(answers), max((values.shape[1] for _, values in found), default=1))
        for numbers, values in found:
            every[numbers, : values.shape[1]] = values
        return every

    def log_probabilities(self, network, answers: list[Answer], kept: dict) -> Tensor:
        """log p of every action under a network, as `scored` returns it."""
        temperature = self.args.temperature
        return self.scored(network, lambda rows: action_log_probabilities(network, rows, temperature)[0], answers, kept)

    def batches(self, step, kept: dict, update: int, names: Sequence[str]) -> Iterator[tuple]:
        """The micro-batches of an update, on the device: the rows, and for each name the kept values of their answers,
        [S] or [S, A]; None where none were kept."""
        answers, part = from_kept(kept), self.parts(kept)[update % self.args.mini_batches]
        for batch in step.batches(self.rows_of(answers, part)):
            numbers, found = batch.numbers.cpu(), []
            for name in names:
                values = kept[name]
                if values is not None:
                    if getattr(step, "lends", False):  # with --shard, of another process, and without effect
                        values = values.new_zeros((int(numbers.max()) + 1, *batch.mask.shape[1 : values.dim()]))
                    values = values[numbers] if values.dim() == 1 else values[numbers, : batch.mask.shape[1]]
                    values = values.to(self.machine.device)
                found.append(values)
            yield batch, *found


@dataclass(frozen=True)
class _Groups:
    """Prompts as rows of a plan (`dataset.rows.rows.Rows`): as many tokens as a group of answers may have."""

    rows_per_epoch: int
    row_length: int
    kind: Kind
    passes: np.ndarray
    caches: list
    held_out: None = None  # which prompts of these are answered, `_with_validation` decides


def plan_of_rollouts(
    args, machine, model, rows, origin, base_rates, group_size: int, has_reference: bool, beside: int = 0
) -> Plan:
    """The plan of a stage whose step takes --prompts_per_step prompts. Its rows are groups: as many tokens as
    `group_size` answers may have, so that the micro-batch, counted in groups, fits into memory.

    has_reference: whether a frozen copy of what is trained is kept. beside: parameters of further networks.
    """
    length, (size, times) = group_size * rows.row_length, micro_batches(args, group_size, rows, machine.world_size)
    args, asked_for = copy.copy(args), args
    args.batch_size, args.accumulation_steps = size, times
    args.fit = None  # which would choose these two
    copied = sum(p.numel() for p in model.parameters() if p.requires_grad) if has_reference else 0
    groups = _Groups(rows.rows_per_epoch, length, rows.kind, rows.passes, rows.caches)
    plan = plan_for(args, machine, model, groups, origin, base_rates=base_rates, parameters_beside=copied + beside)
    # Attention sees the row of an answer, or of several that share a prompt, and not the whole group.
    plan = replace(plan, footprint=replace(plan.footprint, row_length=rows.row_length, rows=group_size))
    if asked_for.fit:
        from training.engine.fitting import fitted  # other runs do not load these
        from training.engine.memory_of_compact import possibly_compact

        footprint = possibly_compact(plan.footprint, model, asked_for, machine.choice)
        size, times, checkpointing, footprint = fitted(
            footprint, asked_for, plan.batch_size, plan.accumulation_steps, plan.reasons
        )
        plan = replace(plan, batch_size=size, accumulation_steps=times, activation_checkpointing=checkpointing)
        asked_for.optimizer_memory = "compact" if footprint.compact else "exact"
        plan = replace(plan, footprint=footprint, optimizer_memory=asked_for.optimizer_memory)
    reason = f"{plan.rows_per_step} prompts, a row for the {group_size} answers to each"
    plan = replace(plan, reasons=plan.reasons | {"batch": reason})
    return _with_validation(plan, rows.held_out, args, group_size) if rows.held_out else plan


def _with_validation(plan: Plan, held_out: ValidationRows, args, group_size: int) -> Plan:
    """The plan with its validations. Of the held-out prompts, leaves those that are answered: at most `MOST_HELD_OUT`,
    and unless --eval_interval says how often, one answer in the whole run for every twelve that are learned from."""
    sampled = plan.steps * plan.rows_per_step * group_size // plan.world_size  # each process answers all that are left
    most = max(1, sampled // VALIDATION) if args.eval_interval is None else MOST_HELD_OUT
    answered = min(len(held_out), MOST_HELD_OUT, most)
    reasons = plan.reasons
    if answered < len(held_out):
        held_out.keep(answered)
        reasons = reasons | {"held_out": f"; validation answers {answered:,} of {held_out.held:,} held-out prompts"}
    return replace(plan, validations=min(20, most // answered), reasons=reasons)


def micro_batches(args, group_size: int, rows, world: int) -> tuple[int, int]:
    """How many prompts of a step are in a micro-batch, and how many micro-batches it has in each of `world` processes.

    Raises `UsageError` where --prompts_per_step cannot be so many, or has too few answers for --mini_batches.
    """
    asked, size, times = args.prompts_per_step or PROMPTS_PER_STEP, args.batch_size, args.accumulation_steps
    own = max(1, asked // world)
    if not size and times:
        size = max(1, own // times)
    elif not size:
        most = min(own, max(1, MICRO_BATCH_TOKENS // (group_size * rows.row_length)))
        size = next(size for size in range(most, 0, -1) if own % size == 0)
    times = times or max(1, round(own / size))
    found = size * times * world
    if args.prompts_per_step not in (None, found):
        given = {"--batch_size": args.batch_size, "--accumulation_steps": args.accumulation_steps}
        flags = [f"{name} {value}" for name, value in given.items() if value]
        flags += [f"{world} processes"] if world > 1 else []
        raise UsageError(
            f"--prompts_per_step {asked} cannot be had with {' and '.join(flags)}: give --prompts_per_step {found}"
            + (f", or --batch_size {math.gcd(own, size)} --accumulation_steps {own // math.gcd(own, size)}")
            * (own * world == asked)
        )
    if args.mini_batches > size * times * group_size:
        answers = f"{size * times * group_size} answers" + " of each process" * (world > 1)
        raise UsageError(
            f"the {answers} in a step are too few for {args.mini_batches} mini-batches: give --prompts_per_step"
            f" {world * math.ceil(args.mini_batches / group_size)} or more, or a smaller --mini_batches"
        )
    return size, times


def to_keep(prompts: Sequence[StoredPrompt], answers: Sequence[Answer], tokenizer) -> dict:
    """Answers as tensors and texts, for the state of a run, and an order for mini-batches."""
    # With types, since a process may have no answers in the last step of an epoch.
    numbers = {
        name: torch.tensor([getattr(one, name) for one in answers], dtype=kind) for name, kind in NUMBERS.items()
    }
    return numbers | {
        "ids": torch.tensor([token for answer in answers for token in answer.ids], dtype=torch.int64),
        "actions": torch.tensor([flag for answer in answers for flag in answer.actions], dtype=torch.bool),
        "lengths": torch.tensor([len(answer.ids) for answer in answers], dtype=torch.int64),
        "order": torch.randperm(len(answers)),
        "prompts": [prompt.messages[-1]["content"] for prompt in prompts],
        "texts": [tokenizer.decode(answer.completion) for answer in answers],
    }


def from_kept(kept: dict) -> list[Answer]:
    """The answers that `to_keep` was given."""
    lengths = kept["lengths"].tolist()
    parts = [[part.tolist() for part in kept[name].split(lengths)] for name in ("ids", "actions")]
    return [Answer(*each) for each in zip(*parts, *(kept[name].tolist() for name in NUMBERS), strict=True)]


def lengths_of(kept: dict) -> Tensor:
    """The number of tokens of each answer, without its prompt, int64 [S]."""
    return torch.tensor([len(answer.completion) for answer in from_kept(kept)], dtype=torch.int64)


def room_of_tools(toolbox, renderer) -> int:
    """About how many tokens the schemas of the tools add to a prompt."""
    if toolbox is None:
        return 0
    asked = [{"role": "user", "content": "?"}]
    return len(renderer.prompt(asked, toolbox.schemas)) - len(renderer.prompt(asked))
