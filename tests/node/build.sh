#!/usr/bin/env bash
# Builds what makes this machine a node, beside the control plane: kubelet, kube-proxy and kube-scheduler at the version
# of ../cluster/go.mod, containerd at that of containerd/go.mod, and the image of the pause container, from the Go module
# proxy; runc, the network plugins and nft from packages of the distribution, unpacked, not installed. The last line on
# stdout is the directory. When it is there already, nothing is done.
# shellcheck source-path=SCRIPTDIR
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
what=node
. ../cache.sh
. ../go.sh
. ./debian.sh

entry node ../cluster/go.mod ../cluster/go.sum containerd/go.mod containerd/go.sum build.sh ../go.sh debian.sh oci.py \
  /etc/os-release
need_go ../cluster
need_go containerd
command -v cc > /dev/null || die "there is no C compiler: install gcc and libc6-dev"

kubernetes=$(version_of k8s.io/kubernetes ../cluster)
containerd=$(version_of github.com/containerd/containerd/v2 containerd)
bin=$temporary/bin
mkdir "$bin"

kubernetes() {
  go_build ../cluster "$(kubernetes_stamp "$kubernetes")" "$bin/" k8s.io/kubernetes/cmd/{kubelet,kube-proxy,kube-scheduler}
}
containerd() {
  CGO_ENABLED=0 go_build containerd "-X github.com/containerd/containerd/v2/version.Version=$containerd" "$bin/" \
    -tags no_btrfs,no_devmapper,no_zfs github.com/containerd/containerd/v2/cmd/{containerd,containerd-shim-runc-v2,ctr}
}
# Kubernetes' own, from its module.
pause() {
  local source
  source=$(go -C ../cluster list -m -f '{{.Dir}}' k8s.io/kubernetes)/build/pause/linux/pause.c
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
step "building kubelet, kube-proxy, kube-scheduler ${kubernetes#v}" "2 to 8 minutes the first time" kubernetes
step "building containerd ${containerd#v}" "about two minutes" containerd
step "making the image of pause" "a moment" pause
step "fetching runc, network plugins, nft" "10 MB" packages
finish
