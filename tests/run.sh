#!/bin/sh
# Installs what the tests need, and runs them all: format, lints, Rust, Python. On Debian, as root, it installs what is
# missing from the system's packages; elsewhere it says loudly what could not be tested. With CI=true that is an error.
set -eu
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }
lacking=""
lack() {
    printf '\n!! NOT TESTED: %s\n' "$*" >&2
    lacking="$lacking
  $*"
}
have() { command -v "$1" >/dev/null 2>&1; }
install_package() {
    have "$1" && return 0
    [ "$(id -u)" = 0 ] && have apt-get || return 1
    apt-get install -y -q "$2" >/dev/null 2>&1 || { apt-get update -q >/dev/null 2>&1 && apt-get install -y -q "$2" >/dev/null; }
}

say "tools"
python=$(command -v python3.11 || command -v python3)
[ -d .venv ] || "$python" -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check -r tests/python/requirements.txt
install_package git git || lack "git repositories: git is missing"
install_package strace strace || lack "connections of remotes: strace is missing"
install_package age age || lack "capsules with another implementation of age: age is missing"
install_package bindfs bindfs || lack "network file systems on a mount: bindfs is missing"
[ -c /dev/fuse ] || lack "network file systems on a mount: /dev/fuse is missing"
install_package unshare util-linux || lack "P1 in an empty network namespace: unshare is missing"
install_package dbus-daemon dbus-daemon || lack "a keychain: dbus-daemon is missing"
install_package gnome-keyring-daemon gnome-keyring || lack "a keychain: gnome-keyring-daemon is missing"
install_package ip iproute2 || lack "remotes where loopback is all the network: ip is missing"

# What is left out of builds by default is tested, too.
features="--features runcellar-cli/keychain"

say "format and lints"
cargo fmt --all --check
cargo clippy --workspace $features --all-targets --quiet -- -D warnings
.venv/bin/ruff check crates/runcellar-py tests/python tests/sockets.py examples
.venv/bin/ruff format --check crates/runcellar-py tests/python tests/sockets.py examples

say "build"
cargo test --workspace $features --no-run --quiet
cargo build --release --quiet -p runcellar-cli
.venv/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps ./crates/runcellar-py

# P1: everything below runs where no network is, and every internet socket that is opened is written down.
trace=$(mktemp -d)
trap 'rm -rf "$trace"' EXIT
namespace=""
watcher=""
tracer=""
if have unshare && unshare -n true 2>/dev/null; then
    namespace="unshare -n"
else
    lack "P1 in an empty network namespace: this user may not make one"
fi
if "$python" tests/sockets.py "$trace/probe" "$python" -c 'import socket; socket.socket()' 2>/dev/null && [ -s "$trace/probe" ]; then
    watcher="$python tests/sockets.py"
else
    lack "P1 by the kernel's own account: it cannot tell of sockets (Linux 5.5 with seccomp)"
fi
if have strace && strace -f --seccomp-bpf -o "$trace/probe" true 2>/dev/null; then
    tracer="strace -f -qq --seccomp-bpf -e signal=none -e trace=connect -o $trace/connections"
else
    lack "connections of remotes: strace may not trace here"
fi
rm -f "$trace/probe"
watched() { name=$1; shift; $namespace ${watcher:+$watcher "$trace/$name.sockets"} "$@"; }
# Servers of the tests listen on loopback, which is all the network there is here; every connection is written down.
on_loopback() {
    if [ -n "$namespace" ] && have ip; then
        set -- $namespace sh -c 'ip link set lo up && exec "$@"' sh "$@"
    fi
    $tracer "$@"
}

say "Rust"
watched rust cargo test --workspace $features --offline -- --skip loopback::
watched reference cargo test -p runcellar-format --offline --no-default-features --lib --test format

say "Rust: remotes, with servers on loopback"
on_loopback cargo test --workspace $features --offline --test sync -- loopback::

# What depends on the way in which cellar.db and journals are used. The rest of the store's tests hold, too, and take longer
# than all of these: values, readings and media are the same bytes in both ways. Fewer kills, as each leaves many small
# journals there.
say "Rust, as on a network file system"
watched network env RUNCELLAR_TEST_FILE_SYSTEM=network RUNCELLAR_KILLS=12 cargo test --workspace $features --offline --test store -- \
    artifacts:: as_of:: backup:: following:: forks:: kills:: lineage:: liveness:: merge:: mishaps:: network:: own:: purge:: ranks:: \
    rotation:: stays_erased:: usage:: writers::

say "Python"
watched python .venv/bin/python -m pytest tests/python

say "P1: sockets opened by the tests"
if [ -n "$watcher" ]; then
    if grep -H . "$trace"/*.sockets; then
        echo "an internet socket was opened" >&2
        exit 1
    fi
    echo "none of the internet"
fi
if [ -n "$tracer" ]; then
    if ! grep -q '"127\.0\.0\.1"' "$trace/connections"; then
        echo "no connection of a test of remotes was written down" >&2
        exit 1
    fi
    if grep -E 'connect\(.*AF_INET6?' "$trace/connections" | grep -vE '"(127\.0\.0\.1|::1)"'; then
        echo "a test of remotes went beyond loopback" >&2
        exit 1
    fi
    echo "of remotes: to loopback alone"
fi

if [ -n "$lacking" ]; then
    printf '\n!! NOT TESTED HERE:%s\n' "$lacking" >&2
    [ "${CI:-}" != true ] || exit 1
fi
say "all tests passed"
