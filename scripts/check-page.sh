#!/usr/bin/env bash
# Opens pages in headless Chromium, in light and dark, at 390 and 1400 pixels: no request to elsewhere, no error on
# the console, nothing serious found by axe-core, nothing wider than the window, values by the keyboard.
#
#     scripts/check-page.sh [--out DIR] PAGE...
#     scripts/check-page.sh --fetch
#
# PAGE is a `report.html`, a `results.html`, or the address that `kd watch` prints. Screenshots and a printed page
# are left in DIR (by default a new folder below /tmp). It needs `chromium` (Debian: apt-get install chromium), `node`,
# and its packages puppeteer-core and axe-core, which `--fetch` puts into the user's cache folder by means of npm;
# nothing is fetched otherwise. What is missing is said loudly; with KD_REQUIRE_BROWSER set it is a failure.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
tools=${KD_PAGE_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/kd/page-tools}
if [ "${1:-}" = "--fetch" ]; then
    mkdir -p "$tools"
    npm install --silent --no-audit --no-fund --prefix "$tools" axe-core@4 puppeteer-core@24
    echo "axe-core and puppeteer-core are in $tools"
    exit
fi
out=""
if [ "${1:-}" = "--out" ]; then
    out=$2
    shift 2
fi
if [ $# -eq 0 ]; then
    sed -n '2,11p' "$0" >&2
    exit 2
fi

missing() {
    printf '\n!!!! SKIPPED: %s !!!!\n\n' "$1" >&2
    if [ -n "${KD_REQUIRE_BROWSER:-}" ]; then
        exit 1
    fi
}

# The first folder that has a package: the user's cache, or where Debian and npm put packages for all users.
package() {
    local place
    for place in "$tools/node_modules" /usr/share/nodejs "$(npm root --global 2>/dev/null || true)"; do
        if [ -f "$place/$1/package.json" ]; then
            printf '%s' "$place/$1"
            return
        fi
    done
}

browser=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
node=$(command -v node || true)
puppeteer=$(package puppeteer-core)
axe=$(package axe-core)
for need in "chromium:$browser" "node:$node" "puppeteer-core (scripts/check-page.sh --fetch):$puppeteer"; do
    if [ -z "${need##*:}" ]; then
        missing "${need%:*} is not there, NO PAGE WAS LOOKED AT"
        exit 0
    fi
done
if [ -z "$axe" ]; then
    missing "axe-core (scripts/check-page.sh --fetch) is not there, ACCESSIBILITY WAS NOT LOOKED AT"
fi
out=${out:-$(mktemp -d -t kd-pages.XXXXXX)}
mkdir -p "$out"
CHROMIUM=$browser PUPPETEER=$puppeteer AXE=$axe node "$here/check-page.mjs" "$out" "$@"
