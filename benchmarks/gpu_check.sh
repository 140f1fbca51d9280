#!/usr/bin/env bash
# Checks and measures everything that needs an NVIDIA GPU, with one command and without network, in under nine minutes:
#   bash benchmarks/gpu_check.sh [--seconds 500] [--only STAGE ...] [--output benchmarks/results/gpu.json] ...
# PYTHON names the Python that has polypstream, PyCUDA and TensorRT (docs/tensorrt.md). What is missing, fails, crashes or
# hangs is said in the JSON, and the rest is measured all the same; --help lists the stages.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
nvidia-smi --query-gpu=name,compute_cap,driver_version,memory.total --format=csv,noheader || true
exec "${PYTHON:-python3}" -m benchmarks.gpu_check "$@"
