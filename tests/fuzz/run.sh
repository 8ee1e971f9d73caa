#!/bin/sh
# Fuzzes the way from bytes to an answer for some seconds: tests/fuzz/run.sh 60 [a file to run once]
#
# Needs a nightly compiler and a C++ compiler, nothing else: the flags are those that cargo-fuzz sets, without a
# sanitizer, because the workspace forbids unsafe code. New inputs stay in target/corpus, findings in artifacts.
set -eu

seconds=${1:?usage: run.sh SECONDS [FILE]}
here=$(cd "$(dirname "$0")" && pwd)
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
target=${FUZZ_TARGET_DIR:-$here/target}

# With --target the flags do not reach build scripts. `unset` because they would win over ours.
unset CARGO_ENCODED_RUSTFLAGS
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
export RUSTFLAGS
# The versions of the workspace; libFuzzer comes on top.
cp "$here/../../Cargo.lock" "$here/Cargo.lock"
cargo +nightly build --quiet --release --manifest-path "$here/Cargo.toml" --target "$host" --target-dir "$target"

binary=$target/$host/release/review
if [ $# -gt 1 ]; then
    exec "$binary" "$2"
fi
mkdir -p "$target/corpus" "$here/artifacts"
exec "$binary" -max_total_time="$seconds" -max_len=65536 -timeout=5 -rss_limit_mb=2048 -print_final_stats=1 \
    -dict="$here/review.dict" -artifact_prefix="$here/artifacts/" "$target/corpus" "$here/seeds" "$here/../reviews"
