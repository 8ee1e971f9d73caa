# What the scripts here share: progress, errors, and a cache entry that is whole or not there. Sourced.

say() { printf '%s: %s\n' "$what" "$*" >&2; }
die() { say "error: $*"; exit 1; }

cache=${SPARK_INJECTOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/spark-injector}

# entry NAME: prints the directory and ends when it is there; otherwise waits for its lock and makes $temporary.
entry() {
  out=$cache/$1
  if [ -d "$out" ]; then echo "$out"; exit 0; fi
  command -v flock > /dev/null || die "flock is missing: install util-linux"
  mkdir -p "$cache"
  exec 9> "$cache/${1%-*}.lock"
  flock -n 9 || { say "another build is running, waiting for it …"; flock 9; }
  if [ -d "$out" ]; then echo "$out"; exit 0; fi
  temporary=$(mktemp -d "$cache/.${1%-*}.XXXXXX")
  begin=$SECONDS
  trap cleanup EXIT
  # Without these the trap does not run when the build is interrupted.
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

ticker=
cleanup() {
  [ -z "$ticker" ] || kill "$ticker" 2> /dev/null || true
  rm -rf "$temporary"
}

# step NAME HINT COMMAND...: runs it, and says every 15 s that it still does.
step() {
  local name=$1 start=$SECONDS
  say "$name ($2) …"
  shift 2
  # The ticker must not hold the lock or the caller's stdout open when this script is killed.
  ( while sleep 15; do say "… $name, $((SECONDS - start)) s"; done ) 9>&- > /dev/null &
  ticker=$!
  # Not `|| die`: that would let the command go on after its first failure.
  local status
  set +e
  ( set -e; "$@" ) >&2 9>&-
  status=$?
  set -e
  [ "$status" = 0 ] || die "$name failed, see above"
  kill "$ticker" 2> /dev/null || true
  ticker=
}

# The rename is what makes the directory complete: no half-built one is ever seen.
finish() {
  chmod 755 "$temporary"
  mv -T "$temporary" "$out"
  say "done in $((SECONDS - begin)) s, kept in $out"
  echo "$out"
}

# debian DIRECTORY PACKAGE...: unpacks packages of this machine's distribution below a directory; installs nothing.
debian() {
  local root=$1
  shift
  command -v apt-get > /dev/null && command -v dpkg-deb > /dev/null \
    || die "$* come as packages of Debian or Ubuntu, and there is no apt-get here"
  mkdir -p "$temporary/debs" "$root"
  # Its own user could not write here.
  ( cd "$temporary/debs" && apt-get download -qq -o APT::Sandbox::User=root "$@" ) \
    || die "apt-get could not download $*: run \`apt-get update\`, and see above"
  local package
  for package in "$temporary"/debs/*.deb; do dpkg-deb -x "$package" "$root"; done
  rm -r "$temporary/debs"
}
