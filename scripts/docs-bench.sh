#!/usr/bin/env bash
# Makes the results that docs/bench.md shows: about a quarter of an hour on 2 cores. Goes on where it was stopped.
set -euo pipefail
cd "$(dirname "$0")/.."
for name in bench-fashion bench-fashion-temperature; do
    cargo run -p kd-cli -- bench "recipes/$name.toml"
    mkdir -p "docs/bench/$name"
    cp "runs/$name/results.md" "runs/$name"/*.svg "docs/bench/$name/"
done
