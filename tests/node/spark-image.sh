#!/usr/bin/env bash
# Makes an image of Spark, as its users have it: Java and Python of this machine's Debian, the Spark that
# ../spark/install.sh has fetched, user 185. The last line on stdout is the directory with `spark.tar`, an OCI archive.
# When it is there already, nothing is done.
# shellcheck source-path=SCRIPTDIR
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
what="spark image"
. ../cache.sh
. ./debian.sh

entry spark-image ../spark/requirements.txt ../spark/install.sh spark-image.sh debian.sh oci.py entrypoint.sh /etc/os-release
home=$(../spark/install.sh)
version=$(sed -n 's/^pyspark==\([^ ]*\).*/\1/p' ../spark/requirements.txt)
# shellcheck source=/dev/null
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
sources=/etc/apt/sources.list.d/debian.sources
[ -f "$sources" ] || sources=/etc/apt/sources.list

# The hooks are for the shell that mmdebstrap starts.
# shellcheck disable=SC2016
root_file_system() {
  debian "$temporary/tools" mmdebstrap
  # man1 must be there, or openjdk's update-alternatives fails where man pages are left out.
  PATH=$temporary/tools/usr/bin:$PATH mmdebstrap --quiet --variant=essential --mode=root --format=tar \
    --essential-hook='mkdir -p "$1/usr/share/man/man1"' --include=openjdk-17-jre-headless,python3,tini,procps \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='echo "spark:x:185:0:spark:/opt/spark:/bin/bash" >> "$1/etc/passwd"' \
    --customize-hook='ln -s "$(basename "$(echo "$1"/usr/lib/jvm/java-17-openjdk-*)")" "$1/usr/lib/jvm/java"' \
    "$suite" "$temporary/root.tar" "$sources"
}
image() {
  mkdir -p "$temporary/opt/spark/work-dir"
  cp entrypoint.sh "$temporary/opt/"
  ln -s "$home"/{bin,jars,python} "$temporary/opt/spark/"
  # Through the links: the installation is not copied first.
  mkdir "$temporary/layer" && cp -rL --reflink=auto "$temporary/opt/." "$temporary/layer/"
  chmod 775 "$temporary/layer/spark/work-dir"
  ./oci.py "$temporary/spark.tar" "docker.io/apache/spark:$version" '{"User": "185", "WorkingDir": "/opt/spark/work-dir",
    "Entrypoint": ["/opt/entrypoint.sh"],
    "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SPARK_HOME=/opt/spark",
            "JAVA_HOME=/usr/lib/jvm/java"]}' "$temporary/root.tar" "$temporary/layer=/opt:185"
}
step "making a root file system of Debian $suite with Java and Python" "about a minute" root_file_system
step "making the image of Spark $version" "some ten seconds" image
rm -rf "$temporary"/{tools,root.tar,opt,layer}
finish
