#!/usr/bin/env bash
# Compiles engine/gpu/kernels/*.cu to the PTX that is kept beside them. Needs the CUDA toolkit 13 (NVCC names its nvcc);
# no GPU. The GPU's driver compiles PTX for its own GPU; compute_75 is Turing, the oldest that CUDA 13 knows.
#   bash scripts/compile_kernels.sh [FOLDER]      writes into FOLDER instead
set -euo pipefail
kernels=$(cd "$(dirname "${BASH_SOURCE[0]}")/../engine/gpu/kernels" && pwd)
target=${1:-$kernels}
cd "$kernels" # so that no folder of this machine gets into the PTX
for source in *.cu; do
    ptx=$target/${source%.cu}.ptx
    "${NVCC:-nvcc}" -ptx -arch=compute_75 --fmad=false -o "$ptx" "$source"
    # By this line a test without nvcc finds out that the source was changed afterwards.
    printf '// source sha256 %s\n' "$(tr -d '\r' <"$source" | sha256sum | cut -d ' ' -f 1)" >>"$ptx"
done
