#!/bin/sh
# The main job on real input: trains a digit classifier on the UCI handwritten digits over nine seeds and learning rates,
# records every step under your key, and shows what was recorded. Needs Rust and a C compiler; nothing else.
#
# The workspace is the one that runcellar finds (RUNCELLAR_DIR, a .runcellar/ above, your data directory); in a clone
# without one it is made here, as ./.runcellar, with its key file outside, in your config directory.
set -eu
cd "$(dirname "$0")/.."

cargo build --release --quiet -p runcellar-cli
cargo build --release --quiet -p runcellar --example digits
target="${CARGO_TARGET_DIR:-target}/release"
runcellar="$target/runcellar"

if [ -z "${RUNCELLAR_DIR:-}" ] && [ ! -d .runcellar ]; then
    "$runcellar" init
fi

echo; echo '$ cargo run --release -p runcellar --example digits'
"$target/examples/digits"

echo; echo '$ runcellar ls --where "config.optimizer.lr <= 0.1" --sort -summary.best_val_accuracy --limit 5'
"$runcellar" ls --where "config.optimizer.lr <= 0.1" --sort -summary.best_val_accuracy --limit 5

best=$("$runcellar" ls --project digits --sort -summary.best_val_accuracy --limit 1 --json |
    sed -n 's/.*"id": *"\([^"]*\)".*/\1/p' | head -n 1)
echo; echo "\$ runcellar show $best"
"$runcellar" show "$best"

echo; echo "\$ runcellar plot $best val/accuracy"
"$runcellar" plot "$best" val/accuracy

echo; echo '$ runcellar check --read-data'
"$runcellar" check --read-data
