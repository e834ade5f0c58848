#!/bin/sh
# Installs Debian packages without letting any of them start a service: `tools/kube/install.sh PACKAGE...`, as root.
set -eu

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' > "$policy" # "101: action forbidden by policy" (invoke-rc.d)
  chmod 755 "$policy"
fi
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@"
