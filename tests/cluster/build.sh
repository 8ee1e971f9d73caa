#!/usr/bin/env bash
# Builds the control plane of the acceptance tests and of the demo (etcd, kube-apiserver, kube-controller-manager,
# kubectl) from the Go module proxy, at the versions in go.mod, into a cache directory. The last line on stdout is
# that directory. When it is there already, nothing is done. One build at a time; an interrupted one leaves nothing
# behind.
# shellcheck source-path=SCRIPTDIR
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
what="control plane"
. ../cache.sh
. ../go.sh

entry control-plane go.mod go.sum build.sh ../go.sh
need_go .

kubernetes=$(version_of k8s.io/kubernetes .)
etcd=$(version_of go.etcd.io/etcd/server/v3 .)
stamp=$(kubernetes_stamp "$kubernetes")

# build NAME VERSION HINT LDFLAGS PACKAGE
build() { step "building $1 ${2#v}" "$3" go_build . "$4" "$temporary/$1" "$5"; }

build kube-apiserver "$kubernetes" "3 to 8 minutes the first time" "$stamp" k8s.io/kubernetes/cmd/kube-apiserver
build kube-controller-manager "$kubernetes" "a minute or two, most is built already" "$stamp" \
  k8s.io/kubernetes/cmd/kube-controller-manager
build etcd "$etcd" "under a minute" "" go.etcd.io/etcd/server/v3
build kubectl "$kubernetes" "about a minute" "$stamp" k8s.io/kubernetes/cmd/kubectl
finish
