"""How much of what the card can do a run uses; only a run on a CUDA GPU loads this."""

import re

# Dense products in bfloat16 (float16 on a T4), in 10^12 operations a second, by the driver's name of the card: NVIDIA's
# data sheets, the figures without sparsity and with sums in float32, as nanochat collects them
# (https://github.com/karpathy/nanochat, nanochat/common.py); the T4 from its own data sheet.
PEAKS = {
    r"H200": 989,
    r"H100 (80GB HBM3|SXM5.*)": 989,
    r"H100 PCIe": 756,
    r"A100[- ].*": 312,
    r"L40S": 362,
    r"L4": 121,
    r"GeForce RTX 5090": 209.5,
    r"GeForce RTX 4090": 165.2,
    r"GeForce RTX 3090": 71,
    r"T4": 65,
}


def peak_of(name: str) -> float | None:
    """Operations a second of the card called `name`; None for an unknown card, or for a slice of one (MIG)."""
    name = re.sub(r"^(NVIDIA |Tesla )*", "", name)
    if "MIG" in name:
        return None
    return next((1e12 * peak for pattern, peak in PEAKS.items() if re.fullmatch(pattern, name)), None)


def operations_per_token(config, row_length: int) -> int:
    """Operations for a trained token: 6 for each parameter in a matrix, head included, and 6 d T a layer for attention.

    That counts what must be computed: of attention the half that is not masked, and nothing that is computed twice.
    """
    d, q, k = (
        config.hidden_size,
        *(config.head_dim * n for n in (config.num_attention_heads, config.num_key_value_heads)),
    )
    per_layer = d * (2 * q + 2 * k + 3 * config.intermediate_size + getattr(config, "num_experts", 0))
    matrices = config.num_hidden_layers * per_layer + config.vocab_size * d
    return 6 * matrices + 6 * config.num_hidden_layers * q * row_length


def share_of_peak(machine, plan, tokens_per_second: float) -> dict[str, float]:
    """`time/share_of_peak` for metrics.jsonl: the share of the peak of all cards; nothing where that is not known."""
    import torch  # here: tools that only count operations do not need it

    peak = peak_of(torch.cuda.get_device_name(machine.device))
    if peak is None or machine.choice.dtype.itemsize != 2:
        return {}
    operations = operations_per_token(plan.footprint.config, plan.footprint.row_length)
    return {"time/share_of_peak": tokens_per_second * operations / (peak * machine.world_size)}
