#!/usr/bin/env bash
# Gets the Spark of requirements.txt from PyPI into a cache directory. The last line on stdout is SPARK_HOME.
# When it is there already, nothing is downloaded; an interrupted run leaves nothing behind.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

say() { printf 'spark: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

version=$(sed -n 's/^pyspark==\([^ ]*\).*/\1/p' requirements.txt)
cache=${SPARK_INJECTOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/spark-injector}
out=$cache/spark-$version

# Spark looks at JAVA_HOME before PATH, so the check does too.
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
command -v "$java" > /dev/null || die "Spark $version needs Java 17 or newer and there is no \`$java\`:" \
  "install a JRE (Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME"
major=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
[ "${major:-0}" -ge 17 ] || die "Spark $version needs Java 17 or newer, \`$java\` is ${major:-unknown}: set JAVA_HOME to a newer one"

if [ -d "$out" ]; then echo "$out"; exit 0; fi

command -v flock > /dev/null || die "flock is missing: install util-linux"
command -v python3 > /dev/null || die "python3 is missing: pip downloads Spark from PyPI"

mkdir -p "$cache"
exec 9> "$cache/spark.lock"
flock -n 9 || { say "another installation is running, waiting for it …"; flock 9; }
if [ -d "$out" ]; then echo "$out"; exit 0; fi

temporary=$(mktemp -d "$cache/.spark.XXXXXX")
ticker=
cleanup() {
  [ -z "$ticker" ] || kill "$ticker" 2> /dev/null || true
  rm -rf "$temporary"
}
trap cleanup EXIT
# Without these the trap does not run when the download is interrupted.
trap 'exit 130' INT
trap 'exit 143' TERM

pip=(python3 -m pip)
if ! "${pip[@]}" --version > /dev/null 2>&1; then
  say "python3 has no pip, making a virtual environment for the download"
  python3 -m venv "$temporary/venv" >&2 \
    || die "neither pip nor venv works with $(command -v python3): install python3-pip or python3-venv"
  pip=("$temporary/venv/bin/python" -m pip)
fi

begin=$SECONDS
say "downloading Spark $version from PyPI (435 MB) …"
( while sleep 15; do say "… $((SECONDS - begin)) s"; done ) 9>&- > /dev/null &
ticker=$!
# pip runs the setup of a source distribution even to download it: build isolation has to stay on, or it fails
# with "invalid command 'bdist_wheel'".
"${pip[@]}" download --quiet --disable-pip-version-check --no-deps --no-binary pyspark --require-hashes \
  --requirement requirements.txt --dest "$temporary" >&2 9>&- \
  || die "pip could not download pyspark $version, see above"
say "downloaded in $((SECONDS - begin)) s, unpacking …"

home=$temporary/home
mkdir -p "$home" "$temporary/unpacked"
top=pyspark-$version
tar -xzf "$temporary/$top.tar.gz" -C "$temporary/unpacked" --strip-components=1 \
  "$top/deps/bin" "$top/deps/jars" "$top/deps/examples" "$top/lib" "$top/LICENSE" "$top/NOTICE"
mv "$temporary/unpacked"/deps/* "$temporary/unpacked"/{LICENSE,NOTICE} "$home"
# Where spark-submit looks for the Python half of a driver.
mkdir "$home/python"
mv "$temporary/unpacked/lib" "$home/python/lib"
# bin/spark-class takes a directory with a RELEASE file or jars/ for an installation; launchers ask for the file.
echo "Spark $version (from the pyspark source distribution)" > "$home/RELEASE"

mv -T "$home" "$out"
say "done in $((SECONDS - begin)) s, kept in $out"
echo "$out"
