#!/bin/sh
# Builds the five servers of Kubernetes 1.20.2 from Debian's source package, once, into the cache: `tools/kube/build.sh`.
# Debian carries them with every dependency in the tree, so nothing is fetched but that one package (34 MB). It takes
# 6 minutes of a quiet machine with two cores and 3 GB of disk while it runs; 380 MB of programs stay.
set -eu

cache=${STRONGROOM_KUBE_CACHE:-$HOME/.cache/strongroom/kube}
servers="kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy"
builders="golang-1.19-go dpkg-dev jq rsync make"

built() {
  for server in $servers; do [ -x "$cache/bin/$server" ] || return 1; done
}

missing_packages() {
  for package in $builders; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || printf '%s ' "$package"
  done
}

fetch_source() { # a private list of source packages: the machine's own lists stay as they are
  mkdir -p lists/partial
  for list in /etc/apt/sources.list.d/*.sources; do
    sed 's/^Types: deb$/Types: deb deb-src/' "$list"
    echo
  done > src.sources
  set -- -o Dir::Etc::sourcelist="$PWD/src.sources" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$PWD/lists"
  apt-get "$@" -qq update
  apt-get "$@" source --download-only -qq kubernetes
  dpkg-source -x --no-check kubernetes_*.dsc src > unpack.log
}

compile() {
  export PATH="/usr/lib/go-1.19/bin:$PATH" HOME="$PWD/home" GOPATH="$PWD/src/.go" GOCACHE="$PWD/gocache"
  export CGO_ENABLED=0 GOPROXY=off KUBE_GIT_VERSION_FILE="$PWD/version"
  cat > version <<VERSION
KUBE_GIT_COMMIT='0'
KUBE_GIT_TREE_STATE='clean'
KUBE_GIT_VERSION='v1.20.2'
KUBE_GIT_MAJOR='1'
KUBE_GIT_MINOR='20'
VERSION
  mkdir -p "$HOME" src/.go/src/k8s.io
  ln -sfn ../../.. src/.go/src/k8s.io/kubernetes
  for what in cmd/kube-apiserver "cmd/kube-controller-manager cmd/kube-scheduler" "cmd/kubelet cmd/kube-proxy"; do
    echo "building $what"
    (cd src && nice -n 10 make WHAT="$what" GOLDFLAGS="-s -w") >> make.log 2>&1 || { tail -n 20 make.log >&2; exit 1; }
  done
}

keep() { # whole files only: a program appears under its name when it is complete
  mkdir -p "$cache/bin"
  for server in $servers; do
    found=$(find src/_output src/.go/bin -name "$server" -type f -perm -100 2>/dev/null | head -n 1)
    [ -n "$found" ] || { echo "tools/kube/build.sh: make ended without $server" >&2; exit 1; }
    install -m 755 "$found" "$cache/bin/$server.new"
    mv "$cache/bin/$server.new" "$cache/bin/$server"
  done
}

mkdir -p "$cache"
exec 9> "$cache/build.lock"
flock 9 # whoever comes second finds it built
built && exit 0
lacking=$(missing_packages)
if [ -n "$lacking" ]; then
  [ "$(id -u)" = 0 ] || { echo "tools/kube/build.sh: as root, run: apt-get install $lacking" >&2; exit 1; }
  # shellcheck disable=SC2086 # a list of packages, one word each
  "$(dirname "$0")/install.sh" $lacking
fi
echo "building Kubernetes 1.20.2 from Debian's source package; its log is $cache/build/make.log"
rm -rf "$cache/build"
mkdir -p "$cache/build"
began=$(date +%s)
( # not joined by &&, which would keep `set -e` from ending it
  cd "$cache/build"
  fetch_source
  compile
  keep
)
chmod -R u+w "$cache/build"
rm -rf "$cache/build"
echo "built in $(($(date +%s) - began)) s: $cache/bin"
