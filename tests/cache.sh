# shellcheck shell=bash
# What the scripts share that fill the cache: progress, errors, and an entry that is whole or not there. Sourced, by a
# script that has put the name before its messages into $what, and that then calls `entry`, `step` and `finish`.
#
# This file is part of no key, or a word here would cost everybody all builds: what an entry holds is decided by the
# scripts. When a mistake here has spoilt entries, another number leaves them behind.
generation=1
: "${what:?must be set by the script that sources this}"

say() { printf '%s: %s\n' "$what" "$*" >&2; }
die() { say "error: $*"; exit 1; }

cache=${SPARK_INJECTOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/spark-injector}

# entry NAME FILE...: prints the directory of what FILEs decide and ends when it is there. Otherwise waits for the lock of
# NAME and makes $temporary, which `finish` turns into that directory.
entry() {
  local name=$1 digest
  shift
  digest=$({ echo "$generation"; cat "$@"; } | sha256sum | cut -c1-16)
  out=$cache/$name-$digest
  end_if_there
  command -v flock > /dev/null || die "flock is missing: install util-linux"
  mkdir -p "$cache"
  exec 9> "$cache/$name.lock"
  flock -n 9 || { say "another run is at work on it, waiting for it …"; flock 9; }
  end_if_there
  # Only one that was killed has left anything: whoever holds the lock is alone.
  rm -rf "$cache/.$name".*
  temporary=$(mktemp -d "$cache/.$name.XXXXXX")
  begin=$SECONDS
  trap 'rm -rf "$temporary"' EXIT
  # Without these the trap does not run when the script is interrupted.
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

end_if_there() {
  if [ -d "$out" ]; then echo "$out"; exit 0; fi
}

# step NAME HINT COMMAND...: runs it, and says every 15 s that it still does.
step() {
  local name=$1 start=$SECONDS status
  say "$name ($2) …"
  shift 2
  # What says so holds neither the lock nor the caller's output, and ends with the pipe: also when this script is killed.
  exec 8> >(
    exec 9>&- > /dev/null
    until read -r -t 15 || [ $? = 1 ]; do say "… $name, $((SECONDS - start)) s"; done
  )
  # Not `|| die`: that would let the command go on after its first failure.
  set +e
  ( set -e; "$@" ) >&2 8>&- 9>&-
  status=$?
  set -e
  exec 8>&-
  [ "$status" = 0 ] || die "$name failed, see above"
  say "$name took $((SECONDS - start)) s"
}

# The rename is what makes the directory complete: no half of one is ever seen.
finish() {
  chmod 755 "$temporary"
  mv -T "$temporary" "$out"
  say "done in $((SECONDS - begin)) s, kept in $out"
  echo "$out"
}
