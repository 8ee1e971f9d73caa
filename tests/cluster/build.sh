#!/usr/bin/env bash
# Builds the control plane of the acceptance tests and of the demo (etcd, kube-apiserver, kube-controller-manager,
# kubectl) from the Go module proxy, at the versions in go.mod, into a cache directory. The last line on stdout is
# that directory. When it is there already, nothing is done. One build at a time; an interrupted one leaves nothing
# behind.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

say() { printf 'control plane: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
version_of() { awk -v module="$1" '$1 == module || $2 == module { for (i = 1; i < NF; i++) if ($i == module) { print $(i + 1); exit } }' go.mod; }

cache=${SPARK_INJECTOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/spark-injector}
digest=$(cat go.mod go.sum build.sh | sha256sum | cut -c1-16)
out=$cache/control-plane-$digest
if [ -d "$out" ]; then echo "$out"; exit 0; fi

kubernetes=$(version_of k8s.io/kubernetes)
etcd=$(version_of go.etcd.io/etcd/server/v3)
wanted=$(sed -n 's/^go //p' go.mod)

command -v flock > /dev/null || die "flock is missing: install util-linux"
command -v go > /dev/null || die "building kube-apiserver ${kubernetes#v} needs Go $wanted or newer, and there is no \`go\`" \
  "in PATH. Install it from https://go.dev/dl/ or with your package manager, then run this again."
# The flags decide what is built and whether Go's own build cache hits, so the caller's do not count.
export GOFLAGS=-mod=readonly GOWORK=off
# Lets any Go since 1.21 fetch the release that go.mod asks for.
export GOTOOLCHAIN="${GOTOOLCHAIN:-auto}"
# `go version` would not read go.mod.
complaint=$(go list -m 2>&1) || die "Go $wanted or newer is needed ($complaint)." \
  "Install it from https://go.dev/dl/, or unset GOTOOLCHAIN so that \`go\` can fetch it."

mkdir -p "$cache"
exec 9> "$cache/control-plane.lock"
flock -n 9 || { say "another build is running, waiting for it …"; flock 9; }
if [ -d "$out" ]; then echo "$out"; exit 0; fi

temporary=$(mktemp -d "$cache/.control-plane.XXXXXX")
ticker=
cleanup() {
  [ -z "$ticker" ] || kill "$ticker" 2> /dev/null || true
  rm -rf "$temporary"
}
trap cleanup EXIT
# Without these the trap does not run when the build is interrupted.
trap 'exit 130' INT
trap 'exit 143' TERM

# build NAME VERSION HINT LDFLAGS PACKAGE
build() {
  local name=$1 begin=$SECONDS
  say "building $name ${2#v} ($3) …"
  # The ticker must not hold the lock or the caller's stdout open when this script is killed.
  ( while sleep 15; do say "… $name, $((SECONDS - begin)) s"; done ) 9>&- > /dev/null &
  ticker=$!
  go build -trimpath -ldflags "-s -w $4" -o "$temporary/$name" "$5" >&2 9>&- \
    || die "building $name failed, see above; the module proxy (go env GOPROXY) must be reachable"
  kill "$ticker" 2> /dev/null || true
  ticker=
  say "$name built in $((SECONDS - begin)) s"
}

start=$SECONDS
# Without a version stamp the server calls itself v0.0.0-master+$Format:%H$.
stamp=k8s.io/component-base/version
minor=${kubernetes#v1.}
stamps="-X $stamp.gitVersion=$kubernetes -X $stamp.gitMajor=1 -X $stamp.gitMinor=${minor%%.*}"
build kube-apiserver "$kubernetes" "3 to 8 minutes the first time" "$stamps" k8s.io/kubernetes/cmd/kube-apiserver
build kube-controller-manager "$kubernetes" "a minute or two, most is built already" "$stamps" \
  k8s.io/kubernetes/cmd/kube-controller-manager
build etcd "$etcd" "under a minute" "" go.etcd.io/etcd/server/v3
build kubectl "$kubernetes" "about a minute" "$stamps" k8s.io/kubernetes/cmd/kubectl

# The rename is what makes the directory complete: no half-built one is ever seen.
chmod 755 "$temporary"
mv -T "$temporary" "$out"
say "done in $((SECONDS - start)) s, kept in $out"
echo "$out"
