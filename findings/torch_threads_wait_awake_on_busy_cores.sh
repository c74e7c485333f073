#!/usr/bin/env bash
# torch 2.13.0 of PyPI for Linux on x86-64, which brings GNU's OpenMP (libgomp); intel-openmp 2026.2.0; Python 3.11 (seen
# 2026-11-30, two cores).
# A product is shared by as many threads as there are cores, and each of them waits at its end for the others. A thread
# of libgomp waits awake: it looks 300,000 times whether it may go on, and sleeps only then. Where another program has
# the core of one thread, all others keep their cores busy by looking. So one loop that never sleeps, beside a program
# with a thread for each core, costs it not its share of a core, but most of the speed and several times the processor
# time; two trainings on one CPU stop one another. Fewer looks (GOMP_SPINCOUNT=1000 in the environment, before torch is
# imported) cure it, and so does Intel's OpenMP, preloaded, whose threads hand over their cores while they wait.
# PyTorch's guide to performance names OMP_NUM_THREADS and Intel's library, not this variable.
# Output seen:
