#!/usr/bin/env bash
# Compares kd on a GPU with kd on the CPU: losses, networks, a step of each method, batches, caches, resumed runs, and
# the command itself.
#
#   scripts/test-gpu.sh [FILTER...]     FILTER picks tests by name, as in `cargo test`
#
# It builds kd with the feature `wgpu` (KD_TEST_DEVICE=cuda: with `cuda`) and runs the test binary `gpu` of kd-cli.
# Burn is compiled once more for it. Without a device it fails: nothing is skipped in silence. A software Vulkan device
# will do: Debian has one in `mesa-vulkan-drivers` and `libvulkan1` (`vulkaninfo --summary` then lists llvmpipe).
#
# Kernels are tuned as little as possible, and what Mesa compiles is kept for the next process; all of it lies in
# the target folder, nothing in the user's own.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
device=${KD_TEST_DEVICE:-wgpu}
case $device in
wgpu) feature=wgpu ;;
cuda | cuda:*) feature=cuda ;;
cpu) feature=flex ;;
*)
    echo "KD_TEST_DEVICE is \`$device\`; give wgpu, cuda, cuda:N, or cpu to try the tests themselves" >&2
    exit 2
    ;;
esac

cd "$root"
SECONDS=0
cargo test --locked --workspace --features "kd-cli/$feature,kd-cli/gpu-tests" --test gpu --no-run
tests=$(cargo test --locked --workspace --features "kd-cli/$feature,kd-cli/gpu-tests" --test gpu --no-run --quiet \
    --message-format json | sed -n 's/.*"name":"gpu".*"executable":"\([^"]*\)".*/\1/p')
printf '\n== built in %s s\n' "$SECONDS"

target=$(dirname "$(dirname "$(dirname "$tests")")")
work=$target/gpu-tests
mkdir -p "$work/home" "$work/tmp"
# One sample of each candidate: what is fastest on this device is not asked here.
cat >"$work/cubecl.toml" <<END
[autotune]
level = "minimal"
bench = { min_samples = 1, max_samples = 1, short_circuit_samples = 1, adaptive = false }
END
# The temporary folders of the tests lie below, where CubeCL finds the file; drivers and loaders keep what they like
# in a home of their own.
run=(env "KD_TEST_DEVICE=$device" "TMPDIR=$work/tmp" "HOME=$work/home" "XDG_CACHE_HOME=$work/home"
    "XDG_RUNTIME_DIR=$work/home" "MESA_SHADER_CACHE_DIR=$work/home" MESA_SHADER_CACHE_MAX_SIZE=4G
    "$tests" --nocapture --test-threads 1)

cd "$work"
if ! "${run[@]}" --quiet --exact devices::there_is_a_device; then
    printf '\n!!!! NO DEVICE: nothing was tested on %s !!!!\n\n' "$device" >&2
    exit 1
fi
SECONDS=0
"${run[@]}" "$@"
printf '\n== ran in %s s\n' "$SECONDS"
