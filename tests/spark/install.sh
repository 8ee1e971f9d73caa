#!/usr/bin/env bash
# Gets the Spark of requirements.txt from PyPI into a cache directory. The last line on stdout is SPARK_HOME.
# When it is there already, nothing is downloaded; an interrupted run leaves nothing behind.
# shellcheck source-path=SCRIPTDIR
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
what=spark
. ../cache.sh

version=$(sed -n 's/^pyspark==\([^ ]*\).*/\1/p' requirements.txt)

# Spark looks at JAVA_HOME before PATH, so the check does too.
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
command -v "$java" > /dev/null || die "Spark $version needs Java 17 or newer and there is no \`$java\`:" \
  "install a JRE (Debian: apt-get install openjdk-17-jre-headless, or 21) or set JAVA_HOME"
major=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
[ "${major:-0}" -ge 17 ] || die "Spark $version needs Java 17 or newer, \`$java\` is ${major:-unknown}: set JAVA_HOME to a newer one"

entry spark requirements.txt install.sh
command -v python3 > /dev/null || die "python3 is missing: pip downloads Spark from PyPI"

download=$temporary/download
mkdir "$download"
pip=(python3 -m pip)
if ! "${pip[@]}" --version > /dev/null 2>&1; then
  say "python3 has no pip, making a virtual environment for the download"
  python3 -m venv "$download/venv" >&2 \
    || die "neither pip nor venv works with $(command -v python3): install python3-pip or python3-venv"
  pip=("$download/venv/bin/python" -m pip)
fi

# pip runs the setup of a source distribution even to download it: build isolation has to stay on, or it fails
# with "invalid command 'bdist_wheel'".
fetch() {
  "${pip[@]}" download --quiet --disable-pip-version-check --no-deps --no-binary pyspark --require-hashes \
    --requirement requirements.txt --dest "$download" && return
  say "PyPI must be reachable, or the index that pip is configured to use"
  return 1
}
unpack() {
  local top=pyspark-$version unpacked=$download/unpacked
  mkdir "$unpacked"
  tar -xzf "$download/$top.tar.gz" -C "$unpacked" --strip-components=1 \
    "$top/deps/bin" "$top/deps/jars" "$top/deps/examples" "$top/lib" "$top/LICENSE" "$top/NOTICE"
  mv "$unpacked"/deps/* "$unpacked"/{LICENSE,NOTICE} "$temporary"
  # Where spark-submit looks for the Python half of a driver.
  mkdir "$temporary/python"
  mv "$unpacked/lib" "$temporary/python/lib"
  # bin/spark-class takes a directory with a RELEASE file or jars/ for an installation; launchers ask for the file.
  echo "Spark $version (from the pyspark source distribution)" > "$temporary/RELEASE"
}
step "downloading Spark $version from PyPI" "435 MB" fetch
step "unpacking Spark $version" "a few seconds" unpack
rm -r "$download"
finish
