#!/usr/bin/env bash
# torch 2.13.0 (CPU build), Python 3.11 (seen 2026-11-27).
# `dist.destroy_process_group()` does not end a Gloo group if an optimizer was made while the group was there: the
# first optimizer imports torch._dynamo, and with it torch.distributed.nn.functional, whose default arguments
# (`group=group.WORLD`, ten of them) then hold the group for ever. Gloo's threads live on until the interpreter ends,
# and now and then abort the process there, after all work is done ("terminate called without an active exception",
# SIGABRT: seen once, on a busy machine). A launcher such as torchrun then counts the
# run as failed. Importing torch.distributed.nn.functional before `init_process_group` ends it.
# Output seen:
#   nothing imported: 3 threads of gloo after destroy_process_group
#   imported first: 0 threads of gloo after destroy_process_group
set -euo pipefail
[ -d /proc/self/task ] || { echo "needs Linux, to count threads by name"; exit 0; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 numpy==2.3.4
cat > "$folder/threads.py" <<'PYTHON'
import os
import sys

import torch
import torch.distributed as dist

if sys.argv[1] == "imported first":
    import torch.distributed.nn.functional
os.environ.update(RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1", MASTER_PORT="0")
dist.init_process_group("gloo")
torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
dist.all_reduce(torch.ones(1))
dist.destroy_process_group()
names = [open(f"/proc/self/task/{thread}/comm").read() for thread in os.listdir("/proc/self/task")]
print(f"{sys.argv[1]}: {sum('gloo' in name for name in names)} threads of gloo after destroy_process_group")
PYTHON
{
    "$folder/env/bin/python" "$folder/threads.py" "nothing imported"
    "$folder/env/bin/python" "$folder/threads.py" "imported first"
} | tee "$folder/seen"
grep -q "nothing imported: 3 threads" "$folder/seen"
grep -q "imported first: 0 threads" "$folder/seen"
