"""Groups of answers that a network gives to prompts, with their rewards, for pairs of a better and a worse one."""

import json
import math
from collections.abc import Iterator

from dataset.cache.prompts import StoredPrompt
from dataset.records.marks import OTHER_MARK, without_marks
from dataset.records.preferences import REJECTED
from dataset.rendering import ChatRenderer
from inference.tools.turns import converse
from inference.writer import ready_to_generate
from model.errors import UsageError
from model.fingerprint import identity_of
from model.sampling import Sampling
from training.losses.advantages import weighted_sum
from training.stages.rated_answers import rewards_of
from training.stages.rollouts import generator_of


class Answering:
    """Samples and rates groups of answers. room: the most tokens that a prompt may have.

    Raises `UsageError` for answers so long that the positions of the network leave no room for a prompt.
    """

    def __init__(self, args, loaded, device, rewards):
        positions = loaded.model.config.max_position_embeddings
        self.room = positions - args.max_new_tokens
        if self.room < 1:
            raise UsageError(
                f"--max_new_tokens {args.max_new_tokens} leaves no room for a prompt in {positions} tokens"
            )
        self._args = args
        self._model = loaded.model
        self._rewards = rewards
        self._writable = loaded.writable
        self._renderer = ChatRenderer(loaded.tokenizer)
        self._precision = ready_to_generate(loaded.model, device, args.dtype)
        self._device = device.device

    @property
    def identity(self) -> str:
        """What the ids of an answer depend on: the network, its tokenizer and its template."""
        return identity_of(self._model, self._renderer.tokenizer, self._renderer.variant)

    def asked(self, prompt):
        """A prompt of a file with its ids, as the rewards take it. Raises `BadRecord`."""
        messages = [dict(message) for message in prompt.conversation.messages]
        tools = list(prompt.conversation.tools)
        columns = json.loads(json.dumps(prompt.columns, default=str))  # a date is a text to rewards, as in GRPO
        (rendered,) = self._renderer.encode([self._renderer.prompt_spans(prompt.conversation)])
        return StoredPrompt(rendered.ids.tolist(), messages, tools, columns)

    def groups(self, prompts: list, columns: list[str], number: int) -> Iterator[tuple]:
        """Each prompt, the texts of its answers and their rewards. Random numbers follow from seed and `number`.

        None stands for an answer that is no side of a pair: it was cut off, says nothing, or was given before by the
        same prompt. Its reward is NaN. columns: what the rewards are given, whether these prompts have it or not.
        """
        size = self._args.group_size
        tokenizer = self._renderer.tokenizer
        every = [prompt for prompt in prompts for _ in range(size)]
        with self._precision():
            answers = converse(
                self._model,
                [prompt.ids for prompt in every],
                self._renderer,
                None,
                max_new_tokens=self._args.max_new_tokens,
                sampling=Sampling(temperature=self._args.temperature, vocabulary=self._writable),
                generator=generator_of(self._device, self._args.seed, number),
            )
        rated = rewards_of(self._rewards, every, answers, self._args, tokenizer, columns)
        total = weighted_sum(rated, [reward.weight for reward in self._rewards]).tolist()
        for place, prompt in enumerate(prompts):
            texts, said = [], {""}
            for one in answers[place * size : (place + 1) * size]:
                text = tokenizer.decode(one.last_turn[:-1]) if one.ended else ""
                is_new = text.strip() not in said and "\0" not in text
                texts.append(text if is_new else None)
                said.add(text.strip())
            values = total[place * size : (place + 1) * size]
            yield prompt, texts, [math.nan if text is None else value for text, value in zip(texts, values)]


def record_of_pair(prompt, texts: list[str], values: list[float], better: int, worse: int) -> dict:
    """A pair as train_dpo.py reads it; the prompt's own columns, such as its skill, come last.

    A column that would say something about the pair is left out: it is about an answer that the record had before.
    """
    messages = prompt.messages
    alone = len(messages) == 1 and messages[0]["role"] == "user"
    found = {"prompt": messages[0]["content"] if alone else messages, "chosen": texts[better]}
    found |= {"rejected": texts[worse], "chosen_reward": values[better], "rejected_reward": values[worse]}
    if prompt.tools:
        found["tools"] = prompt.tools
    about_another = {"margin", "history", "messages", "conversations", *REJECTED}
    for name, value in without_marks(prompt.columns).items():
        if name not in found and name not in about_another and not OTHER_MARK.search(name):
            found[name] = value
    return found
