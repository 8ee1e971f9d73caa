# shellcheck shell=bash
# What the scripts share that build Go programs. Sourced after cache.sh, and part of their keys: flags are set here.

# need_go DIRECTORY: ends with what to do when the Go that its go.mod asks for cannot be had.
need_go() {
  local wanted complaint
  wanted=$(sed -n 's/^go //p' "$1/go.mod")
  command -v go > /dev/null || die "Go $wanted or newer is needed, and there is no \`go\` in PATH." \
    "Install it from https://go.dev/dl/ or with your package manager, then run this again."
  # The flags decide what is built and whether Go's own build cache hits, so the caller's do not count.
  export GOFLAGS=-mod=readonly GOWORK=off
  # Lets any Go since 1.21 fetch the release that go.mod asks for.
  export GOTOOLCHAIN="${GOTOOLCHAIN:-auto}"
  # `go version` would not read go.mod.
  complaint=$(go -C "$1" list -m 2>&1) || die "Go $wanted or newer is needed ($complaint)." \
    "Install it from https://go.dev/dl/, or unset GOTOOLCHAIN so that \`go\` can fetch it."
}

# version_of MODULE DIRECTORY: as its go.mod has it.
version_of() {
  awk -v module="$1" '$1 == module || $2 == module { for (i = 1; i < NF; i++) if ($i == module) { print $(i + 1); exit } }' \
    "$2/go.mod"
}

# kubernetes_stamp VERSION: the flags without which a program calls itself v0.0.0-master+$Format:%H$.
kubernetes_stamp() {
  local variables=k8s.io/component-base/version minor=${1#v1.}
  echo "-X $variables.gitVersion=$1 -X $variables.gitMajor=1 -X $variables.gitMinor=${minor%%.*}"
}

# go_build DIRECTORY LDFLAGS OUTPUT ARGUMENT...: builds with the go.mod of DIRECTORY.
go_build() {
  go -C "$1" build -trimpath -ldflags "-s -w $2" -o "$3" "${@:4}" && return
  say "the module proxy must be reachable: $(go env GOPROXY)"
  return 1
}
