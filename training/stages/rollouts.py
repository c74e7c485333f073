"""Rollouts: answers that the policy samples, and the rows in which it learns from them.

    answers = sample_answers(policy, prompts, ...)     all answers of a step, as one ragged batch
    for batch in answer_batches(answers, ...):         packed rows (training/stages/answer_rows.py)
        log_p, entropy = action_log_probabilities(policy, batch)       [S, A]

Ids are never decoded and encoded again. Only the log-probabilities that the training kernels compute enter a loss; the
sampler's own probabilities, which other kernels compute, do not.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from dataset.cache.prompts import StoredPrompt
from inference.tools.turns import converse
from model.errors import SproutError, UsageError
from model.generation import new_generator
from model.sampling import Sampling
from model.whole import in_mode
from training.engine import distributed
from training.stages.answer_rows import Answer, AnswerBatch, action_log_probabilities, answer_batches
from training.stages.sampling_memory import MOST, answers_at_once

NUMBERS = {"ended": torch.bool, "last": torch.int64, "calls": torch.int64, "failed": torch.int64}  # of an answer
AT_ONCE = "answers_at_once"  # in the state of a run


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
    from another distribution than the one that learns. Only what an imported network has beyond its tokenizer's tokens
    is left out: it means nothing, and a reward model, a critic or a teacher may not have it. With tools, an answer has
    up to `max_turns` turns of at most `max_new_tokens` each. at_once: how many are sampled at a time.
    """
    found, sampling = [], Sampling(temperature=temperature, vocabulary=renderer.tokenizer.vocab_size)
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
                sampling=sampling,
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
        self.args = run.args
        self.plan = run.plan
        self.machine = run.machine
        self.policy = policy
        self.renderer = renderer
        self.group = group
        self.toolbox = toolbox
        # Tokens of prompt and answer; a row holds inputs, so the last token takes no place.
        wanted = self.plan.row_length // group + 1
        positions = policy.config.max_position_embeddings
        if wanted > positions and self.args.max_new_tokens == 1:
            raise UsageError(
                f"a prompt of all {positions} positions of the network leaves none to its answer: give --max_seq_len"
                f" {positions - 1}"
            )
        self.max_length = min(wanted, positions)
        self.at_once = self._answers_at_once(run)

    def _answers_at_once(self, run) -> int:
        """How many answers are sampled at a time. That changes what is drawn, so a resumed run keeps to it, unless
        fewer fit by now."""
        fit = self.args.fit
        # With tools, the later turns of an answer are read like a prompt.
        longest = self.max_length if self.toolbox else max(1, self.max_length - self.args.max_new_tokens)
        fitting = answers_at_once(self.plan.footprint, fit, self.max_length, longest, self.group)
        fitting = min(distributed.gathered(min(fitting, run.state.remembered.get(AT_ONCE, MOST))))
        run.state.remembered[AT_ONCE] = fitting
        answers = self.plan.batch_size * self.plan.accumulation_steps * self.group
        if fitting < min(MOST, answers):
            allows = f"--fit {fit:g}" if fit else "the GPU's memory"
            run.say(f"sampling  {fitting} of the {answers} answers of a step at a time, as {allows} allows")
        return fitting

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
        length = self.plan.row_length // self.group
        pad_id = self.renderer.tokenizer.pad_id
        return answer_batches(answers, part, length, self.plan.batch_size * self.group, pad_id, self.group > 1)

    def scored(self, network, score: Callable[[AnswerBatch], Tensor], answers: list[Answer], kept: dict) -> Tensor:
        """score(batch) [S, A] of all answers, float32 [answers, most actions] on the CPU, computed by the kernels of
        training, but without a gradient. network: the one that `score` uses."""
        scores = []
        with in_mode(network, training=True):
            for batch in itertools.chain.from_iterable(self.rows_of(answers, part) for part in self.parts(kept)):
                self.machine.poll()
                with self.machine.autocast():  # with gradients: attention without them has other kernels
                    scores.append((batch.numbers, score(self.machine.move(batch)).detach().float()))
        every = torch.zeros(len(answers), max((values.shape[1] for _, values in scores), default=1))
        for numbers, values in scores:
            every[numbers, : values.shape[1]] = values.cpu()  # read only here: a GPU goes on meanwhile
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
            lent = getattr(step, "lends", False)  # with --shard: rows of another process, without effect
            yield batch, *(self._values_of(batch, kept[name], lent) for name in names)

    def _values_of(self, batch: AnswerBatch, values: Tensor | None, lent: bool) -> Tensor | None:
        """What was kept of the answers of a batch, out of the `values` of all; of lent rows, zeros."""
        if values is None:
            return None
        numbers, actions = batch.numbers, batch.mask.shape[1]
        if lent:
            values = values.new_zeros((int(numbers.max()) + 1, *batch.mask.shape[1 : values.dim()]))
        values = values[numbers] if values.dim() == 1 else values[numbers, :actions]
        return self.machine.move(values)


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
