#!/usr/bin/env bash
# Makes the results that docs/bench.md shows: some five minutes on 2 cores. Goes on where it was stopped.
set -euo pipefail
cd "$(dirname "$0")/.."
name=bench-fashion
cargo run -p kd-cli -- bench "recipes/$name.toml"
mkdir -p "docs/bench/$name"
cp "runs/$name/results.md" "runs/$name"/*.svg "docs/bench/$name/"
