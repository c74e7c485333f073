"""The speed of generation. It runs in this checkout or in another one: it uses only what they have in common.

    python -P scripts/benchmark/gpu/decode.py cuda bfloat16 64 16 128 26m          # ours: prints one line of JSON
    python -P scripts/benchmark/gpu/decode.py cuda bfloat16 1 16 128 26m peer      # transformers, with a static cache

(device, type, prompts at once, tokens of a prompt, new tokens, preset). Two calls are timed, with prompts of different
lengths: the first in a process pays for what is prepared once, for compiling say.
"""

import json
import sys
import time


def main(device: str, dtype: str, rows: int, length: int, new_tokens: int, preset: str, peer: bool) -> dict:
    """`first` and `again`: new tokens a second, of all prompts together."""
    import torch

    device = torch.device(device)
    torch.manual_seed(0)
    generate = (peer_generates if peer else we_generate)(preset, device, getattr(torch, dtype), rows)

    def rate(length: int) -> float:
        prompts = torch.randint(3, 1000, (rows, length)).tolist()
        started = time.perf_counter()
        count = generate(prompts, new_tokens)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return count / (time.perf_counter() - started)

    return {"first": rate(length), "again": rate(length + new_tokens)}


def we_generate(preset: str, device, dtype, rows: int):
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

    def generate(prompts, new_tokens) -> int:
        return sum(map(len, generate_batch(model, prompts, max_new_tokens=new_tokens)))

    return generate


def peer_generates(preset: str, device, dtype, rows: int):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from model.config import PRESETS

    shape = PRESETS[preset]
    names = "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads"
    config = LlamaConfig(**{name: getattr(shape, name) for name in names.split()}, tie_word_embeddings=True)
    model = LlamaForCausalLM(config).to(device, dtype).eval()

    def generate(prompts, new_tokens) -> int:
        tokens = torch.tensor(prompts, device=device)
        settings = {"cache_implementation": "static", "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
        found = model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=new_tokens,
            min_new_tokens=new_tokens,
            **settings,
        )
        return found[:, tokens.shape[1] :].numel()

    return generate


if __name__ == "__main__":
    if len(sys.argv) < 7:
        sys.exit(print(__doc__))  # as `--help` asks; other checkouts run this file, so it imports nothing of this one
    device, dtype, rows, length, new_tokens, preset, *peer = sys.argv[1:]
    print(json.dumps(main(device, dtype, int(rows), int(length), int(new_tokens), preset, bool(peer))))
