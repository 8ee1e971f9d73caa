#!/usr/bin/env bash
# Builds what makes this machine a node, beside the control plane: kubelet, kube-proxy and kube-scheduler at the version
# of ../cluster/go.mod, containerd at that of containerd/go.mod, and the image of the pause container, from the Go module
# proxy; runc, the network plugins and nft from packages of the distribution, unpacked, not installed. The last line on
# stdout is the directory. When it is there already, nothing is done.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
what=node
. ./common.sh

entry "node-$(cat ../cluster/go.mod ../cluster/go.sum containerd/go.mod containerd/go.sum build.sh common.sh oci.py /etc/os-release \
  | sha256sum | cut -c1-16)"
command -v go > /dev/null || die "there is no \`go\` in PATH: install it from https://go.dev/dl/"
command -v cc > /dev/null || die "there is no C compiler: install gcc and libc6-dev"
# The flags decide what is built and whether Go's own build cache hits, so the caller's do not count.
export GOFLAGS=-mod=readonly GOWORK=off GOTOOLCHAIN="${GOTOOLCHAIN:-auto}"

kubernetes=$(cd ../cluster && go list -m -f '{{.Version}}' k8s.io/kubernetes)
containerd=$(cd containerd && go list -m -f '{{.Version}}' github.com/containerd/containerd/v2)
bin=$temporary/bin
mkdir "$bin"

kubernetes() {
  # Without a version stamp the node calls itself v0.0.0-master+$Format:%H$.
  local stamp=k8s.io/component-base/version minor=${kubernetes#v1.}
  cd ../cluster
  go build -trimpath -o "$bin/" \
    -ldflags "-s -w -X $stamp.gitVersion=$kubernetes -X $stamp.gitMajor=1 -X $stamp.gitMinor=${minor%%.*}" \
    k8s.io/kubernetes/cmd/{kubelet,kube-proxy,kube-scheduler}
}
containerd() {
  cd containerd
  CGO_ENABLED=0 go build -trimpath -o "$bin/" \
    -ldflags "-s -w -X github.com/containerd/containerd/v2/version.Version=$containerd" \
    -tags no_btrfs,no_devmapper,no_zfs github.com/containerd/containerd/v2/cmd/{containerd,containerd-shim-runc-v2,ctr}
}
# Kubernetes' own, from its module.
pause() {
  local source
  source=$(cd ../cluster && go list -m -f '{{.Dir}}' k8s.io/kubernetes)/build/pause/linux/pause.c
  mkdir -p "$temporary/pause" "$temporary/images"
  cc -Os -static -s -DVERSION="$kubernetes" -o "$temporary/pause/pause" "$source"
  ./oci.py "$temporary/images/pause.tar" node.local/pause:1 '{"Entrypoint":["/pause"],"User":"65535:65535"}' \
    "$temporary/pause=/"
  rm -r "$temporary/pause"
}
packages() {
  local root=$temporary/root
  debian "$root" runc containernetworking-plugins nftables libnftables1 libnftnl11
  mv "$root/usr/sbin/runc" "$root/usr/sbin/nft" "$bin/"
  mv "$root/usr/lib/cni" "$temporary/cni"
  # For nft, which would not find them elsewhere.
  mkdir "$temporary/lib"
  mv "$root"/usr/lib/*/*.so* "$temporary/lib/"
  rm -r "$root"
}
step "kubelet, kube-proxy, kube-scheduler ${kubernetes#v}" "2 to 8 minutes the first time" kubernetes
step "containerd ${containerd#v}" "about two minutes" containerd
step "pause" "a moment" pause
step "runc, network plugins, nft" "a download of 10 MB" packages
finish
