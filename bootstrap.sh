#!/bin/sh
# Makes a checkout runnable: Debian packages, npm packages, addon, BPF objects, JavaScript.
# Idempotent; does only what is missing or older than its sources. Needs root for packages only.
set -eu
cd "$(dirname "$0")"
say() { echo "bootstrap: $*"; }

# One at a time: `npm test` and `npm run demo` both come here.
mkdir -p build
exec 9>build/.lock
flock 9

packages="clang-19 llvm-19 libbpf-dev libelf-dev zlib1g-dev linux-libc-dev bpftool
  cmake make g++ pkg-config
  ovn-central ovn-host openvswitch-switch
  iproute2 ethtool iperf3 tcpdump iputils-ping ncat procps tshark prometheus
  qemu-system-x86 kmod cpio xz-utils zstd"

# ---- Debian packages -----------------------------------------------------------------------------
install_packages() {
  command -v apt-get > /dev/null || { say "not Debian; install yourself: $*"; return 1; }
  [ "$(id -u)" = 0 ] || { say "run as root to install: $*"; return 1; }
  say "installing $*"
  # 101 = "action forbidden": no package starts a service of its own on this machine.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' > $policy
    chmod 755 $policy
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q
  apt-get install -qy --no-install-recommends "$@"
}
# shellcheck disable=SC2086 # the list is meant to be split
missing=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' $packages 2> /dev/null |
  awk -v want="$packages" '$2 == "installed" { have[$1] = 1 }
    END { n = split(want, list); for (i = 1; i <= n; i++) if (!have[list[i]]) print list[i] }')
# shellcheck disable=SC2086
[ -z "$missing" ] || install_packages $missing

# ---- BPF file system -----------------------------------------------------------------------------
# Where systemd runs it is mounted; in containers and bare namespaces it is not.
if [ "$(id -u)" = 0 ] && [ "$(stat -fc %T /sys/fs/bpf 2> /dev/null)" != bpf_fs ]; then
  mount -t bpf bpf /sys/fs/bpf || say "no BPF file system at /sys/fs/bpf: pins will fail"
fi

# ---- npm packages --------------------------------------------------------------------------------
# Without install scripts: the only one is ours, and the build comes next.
installed=node_modules/.package-lock.json
if [ ! -e $installed ] || [ package-lock.json -nt $installed ]; then
  say "npm ci"
  npm ci --ignore-scripts --no-audit --no-fund
  touch $installed
fi

# ---- Builds --------------------------------------------------------------------------------------
# stale STAMP SOURCES...: something below SOURCES is newer than STAMP (a removed file counts: its
# folder is newer).
stale() {
  stamp=$1
  shift
  [ ! -e "$stamp" ] || [ -n "$(find "$@" -newer "$stamp" -print -quit)" ]
}
# The stamp gets the time the build began, so that what changed meanwhile is built next time.
build() {
  say "$2"
  touch "$1.began"
  npm run --silent "$2"
  mv "$1.began" "$1"
}
if stale build/.native CMakeLists.txt native bpf $installed; then
  build build/.native build:native
fi
mkdir -p dist
if stale dist/.built tsconfig.json native/index.d.ts ts perf/benches perf/harness perf/pktgen \
  perf/*.ts perf/tsconfig.json $installed; then
  build dist/.built build:ts
fi
