#!/usr/bin/env bash
# Kills a distillation with SIGKILL at random moments, resumes it each time, and compares the networks that come out with those
# of an undisturbed run, byte for byte.
#
#   scripts/kill-and-resume.sh [KILLS] [SEED]      20 kills by default, moments drawn from seed 0
#
# Uses the `kd` that the variable KD names, or builds one. A run that ends before its next kill is compared, too, and
# another one is begun. Takes a minute or two. Needs bash 5.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
kills=${1:-20}
RANDOM=${2:-0}

if [ -z "${KD:-}" ]; then
    (cd "$root" && cargo build --locked -p kd-cli)
    KD=${CARGO_TARGET_DIR:-$root/target}/debug/kd
fi
kd=$(realpath "$KD")
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"

cat >teacher.toml <<'TOML'
method = "train"
[data]
name = "fashion-mnist-mini"
per_class = 50
[network]
name = "lenet5"
[train]
epochs = 1
lr = 0.003
optimizer = { kind = "adam" }
TOML
cat >student.toml <<'TOML'
method = "offline"
[data]
name = "fashion-mnist-mini"
views = "unlimited"
augment = { crop_padding = 2, flip = 0.5 }
[student]
name = "lenet5-half"
[[teachers]]
model = "teacher"
[[losses]]
kind = "cross-entropy"
[[losses]]
kind = "kd"
[[losses]]
kind = "hint"
student_tap = "conv2"
[train]
epochs = 8
lr = 0.003
schedule = { kind = "cosine" }
optimizer = { kind = "adam" }
checkpoint_every = 5
TOML

now() { echo $((${EPOCHREALTIME//[.,]/} / 1000)); }

# What a run came to: the hashes of its last and best network, and its log without the clock.
ending() {
    cat "$1/model/model.safetensors" "$1/model-best/model.safetensors" <(sed 's/,"seconds".*//' "$1/metrics.jsonl") |
        sha256sum | cut -c1-64
}

# The step of the last checkpoint of a run.
step() {
    if [ -f "$1/outcome.json" ]; then
        echo "the end"
    elif [ -f "$1/checkpoint.json" ]; then
        sed -n 's/^  "step": \([0-9]*\),/step \1/p' "$1/checkpoint.json"
    elif [ -f "$1/recipe.toml" ]; then
        echo "its beginning"
    else
        echo "nothing"
    fi
}

"$kd" train teacher.toml --out teacher --json >/dev/null
began=$(now)
"$kd" distill student.toml --out undisturbed --json >/dev/null
whole=$(($(now) - began))
expected=$(ending undisturbed)
echo "undisturbed: $whole ms, $expected"

killed=0 run=1 same=0 failed=0
compare() {
    local got
    got=$(ending "run$run")
    if [ "$got" = "$expected" ]; then
        same=$((same + 1))
        echo "run $run: done, the same bytes"
    else
        failed=$((failed + 1))
        echo "run $run: done, OTHER BYTES: $got"
    fi
    run=$((run + 1))
}
while :; do
    # A process that was killed before it kept its recipe has begun nothing: the same command begins it.
    if [ -f "run$run/recipe.toml" ]; then
        command=(resume "run$run")
    else
        command=(distill student.toml --out "run$run")
    fi
    if [ "$killed" -ge "$kills" ]; then
        [ ! -d "run$run" ] || { "$kd" "${command[@]}" --json >/dev/null && compare; }
        break
    fi
    # Uniform up to a fifth of the run, so that a run dies several times, all over its length.
    wait=$((RANDOM * whole / 5 / 32768))
    "$kd" "${command[@]}" --json >/dev/null 2>said &
    pid=$!
    sleep "$(printf '%d.%03d' $((wait / 1000)) $((wait % 1000)))"
    kill -KILL "$pid" 2>/dev/null || true
    code=0
    wait "$pid" 2>/dev/null || code=$?
    pid=
    case $code in
    137)
        killed=$((killed + 1))
        printf 'kill %2d: %s, after %5d ms; kept: %s\n' "$killed" "run $run" "$wait" "$(step "run$run")"
        ;;
    0) compare ;;
    *)
        echo "run $run: exit code $code: $(cat said)"
        failed=$((failed + 1))
        break
        ;;
    esac
done

if [ "$failed" -eq 0 ] && [ "$same" -gt 0 ]; then
    echo "PASS: $killed kills, $same runs ended in the bytes of the undisturbed one"
else
    echo "FAIL: $killed kills, $same runs ended in the same bytes, $failed did not"
    exit 1
fi
