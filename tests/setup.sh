#!/usr/bin/env bash
# Checks what the build and the tests need, and installs what Debian or Ubuntu package, where it may.
# Silent when everything is there.
set -euo pipefail

missing=()
packages=()
wishes=()
need() { # COMMAND PACKAGE
  command -v "$1" > /dev/null || { missing+=("$1"); packages+=("$2"); }
}
wish() { # COMMAND PACKAGE: what uses it, a test or a row of the bench, says that it is skipped where it is not there
  command -v "$1" > /dev/null || wishes+=("$2")
}
may_install() { command -v apt-get > /dev/null && [ "$(id -u)" = 0 ]; }
apt_install() { # PACKAGE...
  echo "setup: installing $* …" >&2
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } >&2
}
java_package() { # Debian 13 has no 17; where apt knows neither, the older one is named
  local package
  if may_install; then apt-get update -qq >&2 || true; fi
  for package in openjdk-17-jre-headless openjdk-21-jre-headless; do
    if apt-cache show "$package" > /dev/null 2>&1; then echo "$package"; return; fi
  done
  echo openjdk-17-jre-headless
}
need cc gcc
need c++ g++
need make make
need flock util-linux
need strace strace
need python3 python3
[ -n "${JAVA_HOME:-}" ] || need java "$(java_package)"
# Debian has venv without what makes it work.
python3 -m pip --version > /dev/null 2>&1 || python3 -c 'import ensurepip, venv' > /dev/null 2>&1 \
  || { missing+=(pip); packages+=(python3-pip); }
wish slowhttptest slowhttptest
wish busybox busybox

if [ ${#missing[@]} -gt 0 ]; then
  if may_install; then
    apt_install "${packages[@]}"
  else
    echo "setup: missing: ${missing[*]}. Install them first; on Debian or Ubuntu:" >&2
    echo "  sudo apt-get install ${packages[*]}" >&2
    exit 1
  fi
fi

# Of these a machine without a network, or a distribution without such a package, does not die.
if [ ${#wishes[@]} -gt 0 ] && may_install; then
  apt_install "${wishes[@]}" || echo "setup: without ${wishes[*]}: what uses it is skipped" >&2
fi

if ! command -v cargo > /dev/null; then
  echo "setup: there is no cargo. Install Rust with rustup (https://rustup.rs); rust-toolchain.toml names the version." >&2
  exit 1
fi
if ! command -v go > /dev/null; then
  echo "setup: there is no go. Install Go 1.21 or newer (https://go.dev/dl/); it fetches the release it needs itself." >&2
  exit 1
fi

# Where it cannot be had, init-sync is built with glibc.
musl=$(rustc -vV | sed -n 's/^host: \(.*\)-gnu$/\1-musl/p')
if [ -n "$musl" ] && [ ! -d "$(rustc --print sysroot)/lib/rustlib/$musl" ] && command -v rustup > /dev/null; then
  echo "setup: adding the Rust target $musl …" >&2
  timeout 120 rustup target add "$musl" >&2 || echo "setup: without $musl: init-sync is built with glibc, twice as large" >&2
fi
