#!/usr/bin/env bash
# Runs a command as if this machine were another one: with its own network, processes, mounts and control groups.
# What it starts ends with it, and none of its mounts, addresses or settings are seen outside.
#
#   enter.sh DIRECTORY ADDRESS GROUPS COMMAND...
#
# DIRECTORY takes what is written to fixed places below /var; ADDRESS is that of the node; GROUPS, a file, names the
# control groups (version 1) that the command joins, one for each hierarchy.
set -euo pipefail
directory=$1 address=$2 groups=$3
shift 3

if [ "${ENTERED:-}" != yes ]; then
  while read -r group; do echo $BASHPID > "$group/cgroup.procs"; done < "$groups"
  # The kernel ends whatever is left of the process namespace when its first process ends, which is this script again.
  ENTERED=yes exec unshare --mount --net --pid --cgroup --ipc --uts --fork --kill-child --mount-proc \
    "$0" "$directory" "$address" "$groups" "$@"
fi
unset ENTERED

# Nothing comes from outside or goes there, but the kubelet wants / to be shared.
mount --make-rprivate /
mount --make-rshared /
# Sockets and states of containerd and of pods' networks.
mount -t tmpfs -o mode=755 run /run
mkdir -p "$directory"/{log,upper,work,sysctl}
mount --bind "$directory/log" /var/log
# /var/lib/cni and /var/lib/kubelet/device-plugins are fixed in the programs.
mount -t overlay -o "lowerdir=/var/lib,upperdir=$directory/upper,workdir=$directory/work" varlib /var/lib

# Each hierarchy once more, with our group as its root.
umount -R /sys/fs/cgroup
mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
while IFS=: read -r _ controllers _; do
  case $controllers in
    '') ;;
    name=*) mkdir -p /sys/fs/cgroup/systemd && mount -t cgroup -o "none,$controllers" cgroup /sys/fs/cgroup/systemd ;;
    *) mkdir -p "/sys/fs/cgroup/$controllers" && mount -t cgroup -o "$controllers" cgroup "/sys/fs/cgroup/$controllers" ;;
  esac
done < /proc/self/cgroup

# The kubelet sets these for the whole machine. It finds files here that hold what it wants already.
fake() {
  echo "$2" > "$directory/sysctl/${1//\//_}"
  mount --bind "$directory/sysctl/${1//\//_}" "/proc/sys/$1"
}
fake vm/overcommit_memory 1
fake vm/panic_on_oom 0
fake kernel/panic 10
fake kernel/panic_on_oops 1
fake kernel/keys/root_maxkeys 1000000
fake kernel/keys/root_maxbytes 25000000

# The node's address is on one end of a cable that leads nowhere: not every kernel has a device without one.
ip link set lo up
ip link add node0 type veth peer name node1
ip address add "$address/24" dev node0
ip link set node0 up
ip link set node1 up
ip route add default dev node0
sysctl -qw net.ipv4.ip_forward=1

# Not `exec`: as the first process, this shell is who reaps what others leave behind.
status=0
"$@" || status=$?
exit "$status"
