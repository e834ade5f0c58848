#!/bin/sh
# Make the environment that everything else runs in: .venv, exactly as uv.lock says. A second run returns at once.
# `setup.sh` installs what the demo and a replica need; `setup.sh all` adds every engine and what builds the fast codec.
# Any other word is refused.
# Needs python3 >= 3.11; fetches uv into .tools/ when it is not on the PATH; uses apt only as root and only for what is missing.
set -eu
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
stop() { say "$*"; exit 1; }

kind=${1:-demo}
case $#,$kind in
    0,demo | 1,demo | 1,all) ;;
    1,*) stop "there is no environment '$kind'. Run: tools/setup.sh, or tools/setup.sh all" ;;
    *) stop "one word at most. Run: tools/setup.sh, or tools/setup.sh all" ;;
esac

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

stamp=.venv/strongroom-setup
case $(cat "$stamp" 2>/dev/null) in *" all") kind=all ;; esac # what was installed once stays
wanted="$(cat uv.lock pyproject.toml tests/original/uv.lock tools/setup.sh tools/data.lock hatch_build.py src/strongroom/serving/http2/codec/*.[ch] src/strongroom/tfserving/*.[ch] 2>/dev/null | cksum) $kind"
[ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && exit 0

[ -n "$(find_python)" ] || apt_install python3
python=$(find_python)
[ -n "$python" ] || stop "Python 3.11 or newer is needed; $(python3 --version 2>&1) is what is here. Set PYTHON=/path/to/python3.11."
command -v openssl >/dev/null 2>&1 || apt_install openssl ca-certificates
# curl is a second client in the tests, which skip without it: taken along where that asks nobody for anything.
if ! command -v curl >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    (apt_install curl) || say "without curl a few tests will skip"
fi

# HTTP/2 is spoken by libnghttp2; without it gRPC falls back on grpcio. With a compiler, its headers and Python's, our
# binding to it is compiled as well, and the front end is several times faster. Neither is worth stopping for.
have_nghttp2() { "$python" -c 'import ctypes; ctypes.CDLL("libnghttp2.so.14")' 2>/dev/null; }
have_headers() {
    command -v cc >/dev/null 2>&1 && [ -f /usr/include/nghttp2/nghttp2.h ] \
        && "$python" -c 'import os, sysconfig, sys; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'
}
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    have_nghttp2 || (apt_install libnghttp2-14) || say "without libnghttp2 gRPC is served by grpcio"
    [ "$kind" != all ] || have_headers || (apt_install gcc libc6-dev libnghttp2-dev python3-dev) \
        || say "without a compiler the front end is slower"
else
    have_nghttp2 || say "libnghttp2 is not here, so gRPC is served by grpcio; sudo apt-get install libnghttp2-14 makes it faster"
    [ "$kind" != all ] || have_headers \
        || say "sudo apt-get install gcc libc6-dev libnghttp2-dev python3-dev, then make clean, would make the front end faster"
fi

# What the broker's tests run against: a database server, a PKCS#11 token, a browser; they skip without. Debian's package
# would make a database and start a server on this machine: it is kept from both, and nothing else about it is changed.
have_postgres() { command -v postgres >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; }
have_softhsm() { command -v softhsm2-util >/dev/null 2>&1; }
have_chromium() { command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1; }
install_postgres() (
    apt_install postgresql-common
    policy=/usr/sbin/policy-rc.d
    no_cluster=/etc/postgresql-common/createcluster.d/strongroom.conf
    [ -e "$policy" ] || { made=$policy; printf '#!/bin/sh\nexit 101\n' > "$policy"; chmod 755 "$policy"; }
    # shellcheck disable=SC2064  # the names as they are now
    trap "rm -f '$no_cluster' '${made:-}'" EXIT
    trap 'exit 1' HUP INT TERM
    mkdir -p "$(dirname "$no_cluster")"
    echo 'create_main_cluster = false' > "$no_cluster"
    apt_install postgresql
)

# What stands in front of replicas, and what images are built with; their tests skip without. No server is let start.
have_fronts() {
    command -v nginx >/dev/null 2>&1 && command -v haproxy >/dev/null 2>&1 && [ -e /usr/lib/nginx/modules/ngx_stream_module.so ]
}
have_builder() {
    command -v buildah >/dev/null 2>&1 && command -v mmdebstrap >/dev/null 2>&1 && command -v docker-registry >/dev/null 2>&1
}
have_queue() { command -v redis-server >/dev/null 2>&1 && command -v redis-cli >/dev/null 2>&1 && command -v java >/dev/null 2>&1; }
install_quietly() (
    policy=/usr/sbin/policy-rc.d
    [ -e "$policy" ] || { made=$policy; printf '#!/bin/sh\nexit 101\n' > "$policy"; chmod 755 "$policy"; }
    # shellcheck disable=SC2064  # the name as it is now
    trap "rm -f '${made:-}'" EXIT
    trap 'exit 1' HUP INT TERM
    apt_install "$@"
)
if [ "$kind" = all ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        have_fronts || install_quietly nginx libnginx-mod-stream haproxy || say "without nginx and HAProxy the tests of fronts will skip"
        have_builder || install_quietly buildah mmdebstrap docker-registry || say "without buildah the tests of images will skip"
        have_queue || install_quietly redis-server redis-tools default-jre-headless || say "without Redis and Java the tests of the queue will skip"
        have_postgres || install_postgres || say "without PostgreSQL the tests of a shared store will skip"
        have_softhsm || (apt_install softhsm2) || say "without SoftHSM the tests of a root key in a token will skip"
        have_chromium || (apt_install chromium) || say "without Chromium the tests of the console's pages will skip"
    elif ! have_postgres || ! have_softhsm || ! have_chromium || ! have_fronts || ! have_builder || ! have_queue; then
        say "some tests will skip; sudo apt-get install postgresql softhsm2 chromium nginx libnginx-mod-stream haproxy buildah" \
            "mmdebstrap docker-registry redis-server redis-tools default-jre-headless makes them run"
    fi
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
extras="--extra demo"
if [ "$kind" = all ]; then
    extras="--all-extras"
    # Built before there was a compiler? Then build anew.
    ls src/strongroom/serving/http2/_codec*.so src/strongroom/tfserving/_json_numbers*.so >/dev/null 2>&1 \
        || extras="$extras --reinstall-package strongroom"
fi
# shellcheck disable=SC2086  # several words
UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=.venv "$uv" sync --quiet --frozen $extras --python "$python" \
    || stop "uv could not install the locked dependencies; the lines above say which."
if [ "$kind" = all ]; then # the original's client of the queue, in an environment of its own, for the tests that run it unmodified
    UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT="$(pwd -P)/.venv-original" \
        "$uv" sync --quiet --frozen --project tests/original --python "$python" \
        || say "without the original's client package its tests will skip"
fi

# Apache Flink pins old numpy, pyarrow and protobuf: an environment of its own (1 GB), with this tree's Strongroom in it.
if [ "$kind" = all ]; then
    flink_python=$(for name in "$python" python3.11; do
        "$name" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && echo "$name" && break
    done || true)
    if [ -z "$flink_python" ]; then
        say "without Python 3.11 the tests of Flink will skip"
    else
        say "installing Apache Flink into .venv-flink"
        UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT="$(pwd)/.venv-flink" "$uv" sync --quiet --frozen --project flink \
            --python "$flink_python" || stop "uv could not install Flink's environment; the lines above say which."
        ln -sfn "$(pwd)/src/strongroom" .venv-flink/lib/python3.11/site-packages/strongroom
    fi
fi
# The public data sets that the examples of analytics learn from, in .data/; without them stand-ins are used, and named.
if [ "$kind" = all ]; then
    say "bringing public data sets into .data"
    "$python" tools/fetch_data.py >&2 || say "some examples will work on stand-ins"
fi
printf '%s\n' "$wanted" > "$stamp"
