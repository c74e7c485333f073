#!/usr/bin/env bash
# torch 2.13.0 of PyPI for Linux, with the GNU OpenMP in it (libgomp); intel-openmp 2026.2.0; Python 3.11 (seen 2026-11-30).
