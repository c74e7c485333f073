#!/usr/bin/env bash
# trl 1.16.0 with torch 2.13.0, Python 3.11 (seen 2026-11-29).
# `beta` of trl's distillation (GKD, arXiv:2306.13649) leads from KL(teacher, student) at 0 over the Jensen-Shannon
# divergence to KL(student, teacher) at 1, as its documentation says. But the two ends are special cases of the code: the
# divergence between them goes to 0 towards both. At 0.01 the gradient points where that of 0 points, and is a hundredth
# of it in size; so a search over beta at one learning rate compares sizes of steps more than divergences, and 0.999
# hardly trains beside another loss. Dividing by beta * (1 - beta) joins the ends to the rest.
# Output seen (loss, gradient in parts of that at 0, its cosine with that at 0 and at 1):
#   beta 0: 2.1487, 1.000, 1.00, 0.88
#   beta 0.001: 0.0021, 0.001, 1.00, 0.88
#   beta 0.01: 0.0211, 0.010, 1.00, 0.88
#   beta 0.5: 0.4569, 0.201, 0.96, 0.97
#   beta 0.999: 0.0019, 0.001, 0.88, 1.00
#   beta 1: 1.8618, 0.956, 0.88, 1.00
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 trl==1.16.0 numpy==2.3.4
cd "$folder"
cat > betas.py <<'PYTHON'
import sys

import torch
from trl.experimental.gkd import GKDTrainer

teacher = torch.linspace(-3, 3, 40).reshape(1, 4, 10)
start = 1.5 * torch.sin(torch.arange(40.0)).reshape(1, 4, 10)


def at(beta: float) -> tuple[float, torch.Tensor]:
    """Loss, and gradient of the student's logits."""
    student = start.clone().requires_grad_()
    loss = GKDTrainer.generalized_jsd_loss(student, teacher, beta=beta)
    loss.backward()
    return loss.item(), student.grad.flatten()


betas = (0, 0.001, 0.01, 0.5, 0.999, 1)
found = {beta: at(beta) for beta in betas}
first, last = found[0][1], found[1][1]
for beta, (loss, gradient) in found.items():
    cosines = [torch.cosine_similarity(gradient, end, dim=0).item() for end in (first, last)]
    print(f"beta {beta}: {loss:.4f}, {gradient.norm() / first.norm():.3f}, {cosines[0]:.2f}, {cosines[1]:.2f}")
    if 0 < beta < 0.1 or 0.9 < beta < 1:
        end, share = (first, beta) if beta < 0.5 else (last, 1 - beta)
        if not torch.allclose(gradient, share * end, atol=0.1 * share * end.norm().item()):
            sys.exit("no longer so: the gradient near an end is no longer so much smaller than at it")
PYTHON
HF_HUB_OFFLINE=1 "$folder/env/bin/python" betas.py 2> /dev/null
