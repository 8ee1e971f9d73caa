#!/bin/sh
# Fuzzes what takes in somebody else's bytes: run.sh TARGET SECONDS [FILE to run once]
#
#   review    the body of an admission review, to an answer
#   profile   a YAML or JSON file of profiles, namespaces and sources, to a catalog and through it
#   manifest  the text that init-sync is given, and the values of its variables
#
# Needs a C++ compiler for libFuzzer, nothing else: the flags are those that cargo-fuzz sets, without a sanitizer (those
# need a nightly compiler), because the workspace forbids unsafe code. What it starts from is kept in corpus/TARGET; new
# inputs go to FUZZ_TARGET_DIR/corpus/TARGET, findings to FUZZ_TARGET_DIR/findings. `run.sh TARGET merge` adds to the
# kept corpus what has more coverage than it has.
set -eu

usage="usage: run.sh review|profile|manifest SECONDS|merge [FILE]"
fuzz=${1:?$usage}
seconds=${2:?$usage}
here=$(cd "$(dirname "$0")" && pwd)
host=$(rustc -vV | sed -n 's/^host: //p')
target=${FUZZ_TARGET_DIR:-$here/../../target/fuzz}
case $fuzz in review | profile | manifest) ;; *) echo "$usage" >&2; exit 2 ;; esac
command -v c++ > /dev/null || { echo "run.sh: there is no C++ compiler (Debian, Ubuntu: apt-get install g++)" >&2; exit 2; }

# With --target the flags do not reach build scripts. `unset` because they would win over ours.
unset CARGO_ENCODED_RUSTFLAGS
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
export RUSTFLAGS
# The versions of the workspace; libFuzzer comes on top.
cp "$here/../../Cargo.lock" "$here/libfuzzer/Cargo.lock"
cargo build --quiet --release --manifest-path "$here/libfuzzer/Cargo.toml" --target "$host" --target-dir "$target" --bin "$fuzz"

binary=$target/$host/release/$fuzz
corpus=$target/corpus/$fuzz
mkdir -p "$corpus" "$target/findings"
if [ "$seconds" = merge ]; then
    # The fewest inputs that reach everything: thousands more differ in how often only.
    exec "$binary" -set_cover_merge=1 -use_counters=0 -max_len=4096 "$here/corpus/$fuzz" "$corpus"
fi
if [ $# -gt 2 ]; then
    exec "$binary" "$3"
fi
set -- "$corpus" "$here/corpus/$fuzz"
[ "$fuzz" != review ] || set -- "$@" "$here/../reviews"
exec "$binary" -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 \
    -dict="$here/dictionaries/$fuzz" -artifact_prefix="$target/findings/$fuzz-" "$@"
