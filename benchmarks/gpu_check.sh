#!/usr/bin/env bash
# Checks and measures everything that needs an NVIDIA GPU, with one command, and writes benchmarks/results/gpu.json:
#   bash benchmarks/gpu_check.sh [--model NAME|DIR] [--frames VIDEO|FOLDER] [--count 2000] [--soak 100000]
# PYTHON names the Python that has polypstream, PyCUDA and TensorRT (docs/tensorrt.md). What is missing is said in the
# JSON, and the rest is measured all the same.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
nvidia-smi --query-gpu=name,compute_cap,driver_version,memory.total --format=csv,noheader || true
"$python" -m pytest -q -p no:cacheprovider tests/test_kernels.py tests/test_gpu_runner.py tests/test_tensorrt_build.py \
    tests/test_runtime_tensorrt.py -m "not slow" || echo "tests failed or pytest is missing (above); the measurement goes on"
exec "$python" -m benchmarks.gpu_check "$@"
