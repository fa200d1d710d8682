#!/usr/bin/env bash
# Builds `kd` with the CUDA backend where nothing but the crates registry can be reached.
#
#   scripts/build-cuda.sh [OUTPUT]      OUTPUT is the binary to write, by default target-cuda/kd
#
# Burn's CUDA crates link LLVM for a second kernel compiler that kd does not use; its build script downloads LLVM. Here
# tools/cuda-offline/cubecl-llvm stands in for the crate that needs it, and kernels go through NVRTC (feature `cpp` of
# cubecl-cuda), as in an ordinary `cargo build --features cuda`. The patch would change Cargo.lock, so the build runs on a copy of
# the workspace. Needs no CUDA toolkit; the machine that runs the binary needs an NVIDIA driver, libnvrtc and the CUDA
# headers (CUDA_PATH, or /usr/local/cuda).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
output=$(realpath -m "${1:-$root/target-cuda/kd}")
work=$(realpath -m "${KD_CUDA_WORK:-$root/target-cuda}")
mkdir -p "$work/copy" "$(dirname "$output")"

# A fresh copy of the sources; the target folder of earlier builds is kept.
cd "$root"
rm -rf "$work/copy"
mkdir -p "$work/copy"
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
    if [ -e "$file" ]; then printf '%s\0' "$file"; fi
done | tar --null --files-from=- -cf - | tar -xf - -C "$work/copy"

cd "$work/copy"
CARGO_TARGET_DIR=$work/target cargo build --release -p kd-cli --features cuda \
    --config "patch.crates-io.cubecl-llvm.path=\"$root/tools/cuda-offline/cubecl-llvm\""
cp "$work/target/release/kd" "$output"
if command -v strip >/dev/null; then strip "$output"; fi
ls -l "$output"
