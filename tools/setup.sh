#!/bin/sh
# Make the environment that everything else runs in: .venv, exactly as uv.lock says. A second run returns at once.
# Needs python3 >= 3.11; fetches uv into .tools/ when it is not on the PATH; uses apt only as root and only for what is missing.
set -eu
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
stop() { say "$*"; exit 1; }

apt_install() {
    missing="$*"
    command -v apt-get >/dev/null 2>&1 || stop "missing here: $missing. Install them with your system's package manager and run this again."
    [ "$(id -u)" = 0 ] || stop "missing here: $missing. Run: sudo apt-get install -y $missing"
    say "installing $missing"
    if ! DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1; then
        apt-get update -qq >/dev/null
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null \
            || stop "apt-get could not install: $missing"
    fi
}

find_python() {
    for name in "${PYTHON:-python3}" python3 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null 2>&1 && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
}

# A copied or renamed folder: the programs in its .venv would still run the code of the old place, or nothing.
if [ -f .venv/bin/strongroom ] && ! head -n 2 .venv/bin/strongroom | grep -qF "$(pwd -P)/.venv/bin/"; then
    say "this folder was copied or renamed; making .venv anew"
    rm -rf .venv
fi

wanted=$(cat uv.lock pyproject.toml tools/setup.sh | cksum)
stamp=.venv/strongroom-setup
[ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && exit 0

[ -n "$(find_python)" ] || apt_install python3
python=$(find_python)
[ -n "$python" ] || stop "Python 3.11 or newer is needed; $(python3 --version 2>&1) is what is here. Set PYTHON=/path/to/python3.11."
command -v openssl >/dev/null 2>&1 || apt_install openssl ca-certificates
# curl is a second client in the tests, which skip without it: taken along where that asks nobody for anything.
if ! command -v curl >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    (apt_install curl) || say "without curl a few tests will skip"
fi

uv=$(command -v uv || true)
if [ -z "$uv" ]; then
    if [ ! -x .tools/bin/uv ]; then
        say "fetching uv"
        rm -rf .tools
        if ! "$python" -m venv .tools >/dev/null 2>&1; then
            [ "$(id -u)" = 0 ] || say "to fetch uv, pip is needed; or put uv (https://docs.astral.sh/uv) on your PATH and run this again."
            apt_install python3-venv
            rm -rf .tools
            "$python" -m venv .tools >/dev/null || stop "cannot make a virtual environment with $python"
        fi
        .tools/bin/python -m pip install -q --disable-pip-version-check 'uv>=0.8' \
            || stop "pip could not fetch uv; install uv yourself and run this again."
    fi
    uv=.tools/bin/uv
fi

say "installing Strongroom and its pinned dependencies into .venv"
UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=.venv "$uv" sync --quiet --frozen --extra demo --python "$python" \
    || stop "uv could not install the locked dependencies; the lines above say which."
printf '%s\n' "$wanted" > "$stamp"
