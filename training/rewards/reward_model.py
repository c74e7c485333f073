"""A reward model as a reward: it reads the whole conversation, and its number is brought to mean 0 and deviation 1.

Mean and deviation are those that the model stores of the answers it was trained on (`model.files.reward.Spread`), so
that a reward of 1 means the same for every model: better than most of these answers.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from dataset.records.conversations import Conversation
from dataset.rendering import ChatRenderer
from inference.scoring import score_conversations, score_ids
from inference.weights import network_of
from model.device import Device
from model.errors import UsageError
from model.files.loading import Loaded
from model.files.reward import Spread, adapters_of_reward, load_reward, load_reward_adapters
from model.fingerprint import fingerprint
from model.text.vocabulary import same_ids

ROWS = 16  # conversations at once


class ModelReward:
    """Called as any reward is. Attributes: `loaded`, the model; `spread`, mean and deviation, or None if unknown."""

    def __init__(self, loaded: Loaded, device: Device, policy_tokenizer=None):
        self.loaded, self.spread = loaded, Spread.of(loaded.facts)
        self._renderer = ChatRenderer(loaded.tokenizer)
        self._device = device
        self._reads_ids = policy_tokenizer is not None and same_ids(policy_tokenizer, loaded.tokenizer)

    @classmethod
    def open(cls, path: str, policy_tokenizer, device: Device, say: Callable[[str], None]) -> "ModelReward":
        """path: a whole reward model, the adapters of one, or a folder. Raises `SproutError` for anything else."""
        if not Path(path).exists():
            raise UsageError(f"--reward model:{path}: there is no file or folder {path}")
        if adapters := adapters_of_reward(path):
            loaded = load_reward_adapters(adapters, network_of(adapters, "scripts/merge_lora.py"), device=device.device)
        else:
            loaded = load_reward(path, device=device.device)
        reward = cls(loaded, device, policy_tokenizer)
        if reward.spread:
            say(
                f"{path} rates: rewards are divided by {reward.spread.deviation:.4g}, from {reward.spread.mean:+.4g} on"
            )
        else:
            say(f"warning: {path} does not store mean and deviation of its rewards, so they are used as they are")
        return reward

    @property
    def identity(self) -> str:
        """What a resumed run compares: the network, its head, and what its numbers are brought to."""
        head = self.loaded.model.score.weight.detach().float().cpu().numpy().tobytes()
        network = f"{fingerprint(self.loaded.model)} {self.loaded.model.config}"
        return f"{network}, {hashlib.sha256(head).hexdigest()}, {self.spread}"

    def __call__(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        messages: Sequence[Sequence[dict]] | None = None,
        prompt_ids: Sequence[Sequence[int]] | None = None,
        completion_ids: Sequence[Sequence[int]] | None = None,
    ) -> list[float | None]:
        """The normalised reward of each answer; None for one that is longer than the positions of the model.

        It reads the tokens themselves where the policy has the same tokenizer, else the messages, rendered in its own
        template. Without either, a prompt is what a user said.
        """
        model = self.loaded.model
        settings = {
            "max_seq_len": model.config.max_position_embeddings,
            "batch_size": ROWS,
            "autocast": self._device.autocast,
        }
        if self._reads_ids and prompt_ids is not None and completion_ids is not None:
            every = [[*prompt, *ids] for prompt, ids in zip(prompt_ids, completion_ids, strict=True)]
            found = score_ids(model, every, self.loaded.tokenizer.pad_id, **settings)
        else:
            if messages is None:
                pairs = zip(prompts, completions, strict=True)
                messages = [[_said("user", prompt), _said("assistant", answer)] for prompt, answer in pairs]
            found = score_conversations(
                model, self._renderer, [Conversation(tuple(each)) for each in messages], **settings
            )
        return found if self.spread is None else [None if r is None else self.spread.normalised(r) for r in found]


def _said(role: str, content: str) -> dict:
    return {"role": role, "content": content}
