#!/usr/bin/env bash
# torch 2.13.0 of PyPI for Linux on x86-64, which brings GNU's OpenMP (libgomp); intel-openmp 2026.2.0; Python 3.11 (seen
# 2026-11-30, two cores).
# A product is shared by as many threads as there are cores, and each of them waits at its end for the others. A thread
# of libgomp waits awake: it looks 300,000 times whether it may go on, and sleeps only then. Where another program has
# the core of one thread, all others keep their cores busy by looking. So programs beside torch cost it not only their
# share of the cores: it computes half of what it could beside them, for three times the processor time. Fewer looks
# (GOMP_SPINCOUNT=1000 in the environment, before torch is imported) cure it, and so does Intel's OpenMP, preloaded,
# whose threads hand over their cores while they wait.
# What is usually advised is fewer threads (OMP_NUM_THREADS, as in pytorch/pytorch#19163).
# Output seen (on two cores, beside four loops):
#   as installed                  75.9 products a second,    8.60 ms of processor time each
#   GOMP_SPINCOUNT=1000          154.7 products a second,    3.04 ms of processor time each
#   Intel's OpenMP               125.3 products a second,    3.12 ms of processor time each
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet torch==2.13.0 intel-openmp==2026.2.0
cat > products.py <<'PYTHON'
import os
import subprocess
import sys
import time

import torch

cores = len(os.sched_getaffinity(0))
torch.set_num_threads(cores)
busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * cores)]
try:
    left, right = torch.ones(512, 512), torch.ones(512, 512)
    left @ right
    count, started, processor = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - started < 10:
        left @ right
        count += 1
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
finally:
    for program in busy:
        program.kill()
        program.wait()
print(f"{count / seconds:.1f} {1000 * processor / count:.2f}")
PYTHON
export OMP_NUM_THREADS="$(nproc)"
unset OMP_WAIT_POLICY GOMP_SPINCOUNT KMP_BLOCKTIME LD_PRELOAD
default=$(env/bin/python -W ignore products.py)
fewer=$(GOMP_SPINCOUNT=1000 env/bin/python -W ignore products.py)
intel=$(LD_PRELOAD=$PWD/env/lib/libiomp5.so env/bin/python -W ignore products.py)
say() { printf '%-26s %7s products a second, %7s ms of processor time each\n' "$@"; }
# shellcheck disable=SC2086 # two numbers each
{
    say "as installed" $default
    say "GOMP_SPINCOUNT=1000" $fewer
    say "Intel's OpenMP" $intel
}
env/bin/python - ${default#* } ${fewer#* } <<'PYTHON'
import sys

default, fewer = map(float, sys.argv[1:])
if default < 1.5 * fewer:
    sys.exit("no longer so: waiting awake costs little")
PYTHON
