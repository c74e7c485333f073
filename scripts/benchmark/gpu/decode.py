"""The speed of generation. It runs in this checkout or in another one: it uses only what they have in common.

    python -P scripts/benchmark/gpu/decode.py cuda bfloat16 64 16 128 26m          # ours: prints lines of JSON
    python -P scripts/benchmark/gpu/decode.py cuda bfloat16 1 16 128 26m peer      # transformers, with a static cache

(device, type, prompts at once, tokens of a prompt, new tokens, preset). Three calls are timed. The first in a process
pays for what is prepared once, for compiling say. The next has prompts of the same length. The last has longer ones,
for which some programs prepare anew. Each line has all figures so far, so that a limit of time keeps those before it.
"""

import json
import sys
import time
from collections.abc import Iterator


def main(device: str, dtype: str, rows: int, length: int, new_tokens: int, preset: str, peer: bool) -> Iterator[dict]:
    """New tokens a second, of all prompts together: `first`, `again` and `longer` are those of whole calls; `steady` is
    that of the second half of the call `again`, in which nothing is left to compile, to capture or to read."""
    import torch

    device = torch.device(device)
    torch.manual_seed(0)
    generate = (peer_generates if peer else we_generate)(preset, device, getattr(torch, dtype), rows)
    found = {}

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def rates(length: int) -> tuple[float, float]:
        """Of a call, and of its second half."""
        prompts, times = torch.randint(3, 1000, (rows, length)).tolist(), []
        started = now()
        count = generate(prompts, new_tokens, lambda: times.append(now()))
        ended = now()
        half = times[len(times) // 2]  # before this step so many tokens were there, of each prompt
        return count / (ended - started), count * (1 - len(times) // 2 / len(times)) / (ended - half)

    found["first"] = rates(length)[0]
    yield found
    found["again"], found["steady"] = rates(length)
    yield found
    found["longer"] = rates(length + new_tokens)[0]
    yield found


def we_generate(preset: str, device, dtype, rows: int):
    """A function of prompts, a number of new tokens, and what to call before every step. Returns how many it made."""
    import inspect

    from model.config import PRESETS
    from model.generation import generate_batch
    from model.transformer import Transformer

    try:
        from inference.writer import prepare_for_decoding
    except ImportError:  # where earlier commits have it
        from model.generation import prepare_for_decoding
    model = Transformer(PRESETS[preset]).to(device).eval()
    known = inspect.signature(prepare_for_decoding).parameters
    prepare_for_decoding(model, dtype, **({"rows": rows} if "rows" in known else {}))

    def generate(prompts, new_tokens, before_step) -> int:
        asked = {"max_new_tokens": new_tokens, "stop": before_step}  # it returns None, and so never stops
        return sum(map(len, generate_batch(model, prompts, **asked)))

    return generate


def peer_generates(preset: str, device, dtype, rows: int):
    """As `we_generate`, but what is called is called after every token, but the last: before the next step."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, StoppingCriteriaList

    from model.config import PRESETS

    shape = PRESETS[preset]
    names = "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads"
    config = LlamaConfig(**{name: getattr(shape, name) for name in names.split()}, tie_word_embeddings=True)
    model = LlamaForCausalLM(config).to(device, dtype).eval()
    none = torch.zeros(rows, dtype=torch.bool, device=device)

    def generate(prompts, new_tokens, before_step) -> int:
        tokens = torch.tensor(prompts, device=device)
        before_step()

        def goes_on(written, scores, **others):
            if written.shape[1] < tokens.shape[1] + new_tokens:
                before_step()
            return none

        settings = {"cache_implementation": "static", "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
        found = model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=new_tokens,
            min_new_tokens=new_tokens,
            stopping_criteria=StoppingCriteriaList([goes_on]),
            **settings,
        )
        return found[:, tokens.shape[1] :].numel()

    return generate


if __name__ == "__main__":
    if len(sys.argv) < 7:
        sys.exit(print(__doc__))  # as `--help` asks; other checkouts run this file, so it imports nothing of this one
    device, dtype, rows, length, new_tokens, preset, *peer = sys.argv[1:]
    for found in main(device, dtype, int(rows), int(length), int(new_tokens), preset, bool(peer)):
        print(json.dumps(found), flush=True)
