# shellcheck shell=bash
# What the scripts here share that take packages of this machine's distribution. Sourced after cache.sh, and part of
# their keys.

# debian DIRECTORY PACKAGE...: unpacks packages below a directory; installs nothing.
debian() {
  local root=$1 debs=${temporary:?}/debs command package
  shift
  for command in apt-get dpkg-deb; do
    command -v "$command" > /dev/null || die "$* come as packages of Debian or Ubuntu, and there is no $command here"
  done
  mkdir -p "$debs" "$root"
  # Its own user could not write here.
  ( cd "$debs" && apt-get download -qq -o APT::Sandbox::User=root "$@" ) \
    || die "apt-get could not download $*: run \`apt-get update\`, and see above"
  for package in "$temporary"/debs/*.deb; do dpkg-deb -x "$package" "$root"; done
  rm -r "$debs"
}
