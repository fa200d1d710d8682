#!/usr/bin/env bash
# Opens pages in headless Chromium, in light and dark, at 390 and 1400 pixels: no request to elsewhere, no error on
# the console, nothing serious found by axe-core, nothing wider than the window, values by the keyboard.
#
#     scripts/check-page.sh [--out DIR] PAGE...
#
# PAGE is a `report.html`, a `results.html`, or the address that `kd watch` prints. Screenshots and a printed page
# are left in DIR (by default a new folder below /tmp). It needs `chromium` (Debian: apt-get install chromium) and
# `node` with `npm`, which fetches axe-core and puppeteer-core into a folder of its own.
set -euo pipefail

out=""
if [ "${1:-}" = "--out" ]; then
    out=$2
    shift 2
fi
if [ $# -eq 0 ]; then
    sed -n '2,9p' "$0" >&2
    exit 2
fi

browser=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
for need in "chromium:$browser" "node:$(command -v node || true)" "npm:$(command -v npm || true)"; do
    if [ -z "${need#*:}" ]; then
        printf '\n!!!! SKIPPED: %s is not there, NO PAGE WAS LOOKED AT !!!!\n\n' "${need%%:*}" >&2
        # With KD_REQUIRE_BROWSER set that is a failure.
        [ -z "${KD_REQUIRE_BROWSER:-}" ]
        exit
    fi
done

here=$(cd "$(dirname "$0")" && pwd)
tools=${KD_PAGE_TOOLS:-${TMPDIR:-/tmp}/kd-page-tools}
if [ ! -d "$tools/node_modules/axe-core" ] || [ ! -d "$tools/node_modules/puppeteer-core" ]; then
    mkdir -p "$tools"
    npm install --silent --no-audit --no-fund --prefix "$tools" axe-core@4 puppeteer-core@24 >/dev/null
fi
out=${out:-$(mktemp -d -t kd-pages.XXXXXX)}
mkdir -p "$out"
CHROMIUM=$browser TOOLS=$tools node "$here/check-page.mjs" "$out" "$@"
