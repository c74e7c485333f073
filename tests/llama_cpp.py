"""llama.cpp itself, to compare with: the package xllamacpp brings it built, and its server is asked over loopback."""

import json
import urllib.request
from pathlib import Path

import pytest


class LlamaCpp:
    """A GGUF file as llama.cpp runs it, on one thread, with keys and values of attention in float32."""

    def __init__(self, path: Path, positions: int = 256):
        library = pytest.importorskip("xllamacpp", reason="xllamacpp is not installed (pip install -e '.[test]')")
        settings = library.CommonParams()
        settings.model.path = str(path)
        settings.n_ctx, settings.n_parallel, settings.port, settings.verbosity = positions, 1, 0, 0
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
        settings.cache_type_k = settings.cache_type_v = library.ggml_type.GGML_TYPE_F32
        settings.flash_attn_type = library.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED  # it takes float16
        settings.warmup = settings.fit_params = False
        self._server = library.Server(settings)  # stops when it is collected
        # Its loop answers this, so it runs. A server that stops before its loop has begun waits for that loop for ever,
        # and holds the GIL (xllamacpp 2026.10); other requests are answered without the loop.
        urllib.request.urlopen(self._server.listening_address + "/slots", timeout=60).close()

    def ask(self, where: str, **body) -> dict:
        request = urllib.request.Request(
            self._server.listening_address + where, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def encode(self, text: str, bos: bool = False) -> list[int]:
        """The ids of a text; `bos`: as it begins a prompt."""
        return self.ask("/tokenize", content=text, add_special=bos, parse_special=False)["tokens"]

    def greedy(self, ids: list[int], count: int) -> tuple[list[int], dict[int, float]]:
        """The `count` most probable tokens after ids, and log-probabilities of the likeliest first ones.

        llama.cpp gives none where the first token ends inside a character.
        """
        found = self.ask(
            "/completion",
            prompt=ids,
            n_predict=count,
            temperature=0,
            n_probs=20,
            return_tokens=True,
            cache_prompt=False,
            ignore_eos=True,
        )
        likeliest = found["completion_probabilities"][0]["top_logprobs"]
        return found["tokens"], {token["id"]: token["logprob"] for token in likeliest}
