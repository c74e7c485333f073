"""Learning rates of networks that are trained already: much lower than those of a new one, by optimizer."""

TRAINED_RATE = {"muon": 2e-3, "adamw": 5e-4}  # for a network that Sprout trained
# An imported network has usually seen a thousand times more text, and has more to lose.
IMPORTED_RATE = {"muon": 2e-4, "adamw": 2e-5}
# Adapters: measured on a network of 4 M parameters that Sprout trained (docs/lora.md); customary on imported ones.
ADAPTER_RATE = {"ours": {"adamw": 1.5e-3}, "imported": {"adamw": 2e-4}}


def rates_of(imported: bool, adapters: bool) -> tuple[dict[str, float], str]:
    """The rates by optimizer, and why, in words."""
    if adapters:
        why = ", as adapters learn" + (" on an imported network" if imported else "")
        return ADAPTER_RATE["imported" if imported else "ours"], why
    if imported:
        return IMPORTED_RATE, ", as the network is imported"
    return TRAINED_RATE, ", as the network is trained already"
