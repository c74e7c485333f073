"""The files that a run writes: weights, state, logs. One run at a time owns them; an earlier result is kept aside."""

import shutil
from pathlib import Path

from model.disk import previous_path, sweep_temporaries, take
from model.errors import SproutError
from model.files.checkpoint import ADAPTER_FOLDER, save_weights
from model.whole import adapters_of, is_adapter


class Output:
    """The files of a run called `name` that trains `model`, in --out_dir; adapters have their own folder there.

    Attributes: `weight_file`, `resume_file`, and the folder `logs`.
    """

    def __init__(self, out_dir: str, name: str, model):
        self.of_adapters = adapters_of(model) is not None
        self.folder = Path(out_dir) / ADAPTER_FOLDER if self.of_adapters else Path(out_dir)
        self.weight_file = self.folder / f"{name}.pth"
        self.resume_file = self.folder / f"{name}_resume.pth"
        self.logs = self.folder / "logs" / name
        self._lock = None

    def claim(self) -> None:
        """Locks the files: until this process ends, a second run on the same output is refused."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f".{self.weight_file.stem}.lock"
            self._lock = open(path, "a")
        except OSError as error:
            raise SproutError(f"{self.folder} cannot be written: {error.strerror}; choose another --out_dir") from error
        if not take(self._lock.fileno(), path):
            self.release()
            raise SproutError(
                f"another run is writing {self.weight_file}: wait for it, or choose another name or --out_dir"
            )
        for folder in (self.folder, self.logs):  # runs that were killed while saving leave files behind
            sweep_temporaries(folder)

    def release(self) -> None:
        if self._lock is not None:
            self._lock.close()

    def check_space(self, networks: dict, updaters: dict, resumes: bool) -> None:
        """Raises `SproutError` if two saves of weights and state, and a third being written, do not fit."""
        sizes = {name: _size_of_state(network) for name, network in networks.items()}
        weights, state = sizes["model"], sum(sizes.values())
        for updater in updaters.values():
            for optimizer in updater.optimizers:
                numbers = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
                state += getattr(optimizer, "state_bytes", 8) * numbers
        files = (self.weight_file, self.resume_file)
        needed = 2 * (weights + state) + max(weights, state)
        if resumes:  # a new run moves the earlier files aside, so they take space of their own
            needed -= sum(path.stat().st_size for path in (*files, *map(previous_path, files)) if path.exists())
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise SproutError(
                f"{self.folder} has {free / 1e9:.2f} GB free, but the checkpoints of this run take"
                f" {needed / 1e9:.2f} GB: make room or choose another --out_dir"
            )

    def keep_aside(self) -> Path | None:
        """Moves the result of an earlier run to <folder>/earlier/<name>_<time>/, and returns that folder."""
        ours = (self.weight_file, self.resume_file)
        if files := [path for path in (*ours, *map(previous_path, ours), self.logs) if path.exists()]:
            from model.earlier import move_to_earlier  # most runs find nothing

            return move_to_earlier(files, self.folder, self.weight_file.stem, self.logs)

    def save_weights(self, model, tokenizer, stage: str, facts: dict) -> None:
        """Writes the result: the network, or only its adapters if it has any."""
        if self.of_adapters:
            from model.files.adapters import save_lora  # runs without adapters do not load it

            save_lora(self.weight_file, model, stage=stage, facts=facts)
        else:
            save_weights(self.weight_file, model, tokenizer, stage=stage, facts=facts)


def _size_of_state(network) -> int:
    """Bytes of what a state holds of a network, a tied head counted once."""
    whole = adapters_of(network) is None
    return 4 * sum(each.numel() for name, each in network.named_parameters() if whole or is_adapter(name))
