#!/usr/bin/env bash
# Checks what this machine lacks to build and run the project, and installs it where it may (Debian and Ubuntu, as root
# or with password-less sudo). Elsewhere it prints the one command to type. Says nothing when nothing is missing.
#
#   stack/setup.sh                what `make run` needs
#   stack/setup.sh --with-tests   and what `make test` needs on top: Python packages in .venv
#   stack/setup.sh --with-node    and what `make test-api` needs on top: Node and npm
#   stack/setup.sh --with-network and what `make test-network` needs on top: nftables and iproute2, of Linux
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Where rustup puts cargo, for the shell in which it was just installed.
PATH=$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin

with_tests=no with_node=no with_network=no
for option; do
  case $option in
    --with-tests) with_tests=yes ;;
    --with-node) with_node=yes ;;
    --with-network) with_network=yes ;;
  esac
done
requirements=tests/python/requirements.txt
rustup_command="curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal"

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# --- What is missing -------------------------------------------------------------------------------------------------

has_headers() { # pkg-config name
  if [ "$(uname)" = Darwin ]; then
    # The system has zlib, and Homebrew keeps its OpenSSL where the build looks for it by itself.
    [ "$1" = zlib ] || [ -d /opt/homebrew/opt/openssl@3 ] || [ -d /usr/local/opt/openssl@3 ]
  else
    has pkg-config && pkg-config --exists "$1"
  fi
}

java_major() { # 17 for Java 17; nothing without Java
  local java=java home version=''
  [ -z "${JAVA_HOME-}" ] || [ ! -x "$JAVA_HOME/bin/java" ] || java=$JAVA_HOME/bin/java
  java=$(command -v "$java") || return 0
  home=$(dirname "$(dirname "$(readlink -f "$java")")")
  # This file saves the start of a Java. Not every make of Java has it.
  [ ! -r "$home/release" ] || version=$(sed -n 's/^JAVA_VERSION="\(.*\)"$/\1/p' "$home/release")
  [ -n "$version" ] || version=$("$java" -version 2>&1 | sed -n 's/.* version "\([^"]*\)".*/\1/p' | head -n 1)
  version=${version#1.}
  echo "${version%%[!0-9]*}"
}

has_java() {
  local major
  major=$(java_major)
  [ "${major:-0}" -ge 17 ]
}

python_is_current() {
  [ "$with_tests" = no ] || [ ! -f "$requirements" ] ||
    { [ -x .venv/bin/python ] && cmp -s "$requirements" .venv/requirements.txt; }
}

missing() {
  has cc || echo c
  has c++ || has g++ || echo c++
  has make || echo make
  has pkg-config || echo pkg-config
  has_headers openssl || echo openssl
  has_headers zlib || echo zlib
  has_java || echo java
  has mvn || echo maven
  has curl || echo curl
  has cargo || echo rust
  [ "$with_node" = no ] || { has node && has npm; } || echo node
  [ "$with_network" = no ] || has nft || echo nftables
  [ "$with_network" = no ] || has ip || echo iproute2
  python_is_current || python3 -c 'import ensurepip, venv' 2>/dev/null || echo python
}

# --- What provides it ------------------------------------------------------------------------------------------------

apt_has() { [ -n "$(apt-cache show "$1" 2>/dev/null)" ]; }

apt_java() {
  local version
  for version in 17 21 25; do
    if apt_has "openjdk-$version-jre-headless"; then
      echo "openjdk-$version-jre-headless"
      return
    fi
  done
  echo default-jre-headless
}

package() { # package manager, missing thing; nothing where the manager has none
  case $1:$2 in
    apt:c) echo gcc libc6-dev ;;
    apt:c++) echo g++ ;;
    apt:openssl) echo libssl-dev ;;
    apt:zlib) echo zlib1g-dev ;;
    apt:java) apt_java ;;
    apt:node) echo nodejs npm ;;
    dnf:node) echo nodejs-npm ;;
    apt:python) echo python3 python3-venv ;;
    apt:rust) ! apt_has rustup || echo rustup ;;
    dnf:c) echo gcc ;;
    dnf:c++) echo gcc-c++ ;;
    dnf:pkg-config) echo pkgconf-pkg-config ;;
    dnf:iproute2) echo iproute ;;
    dnf:openssl) echo openssl-devel ;;
    dnf:zlib) echo zlib-devel ;;
    dnf:java) echo java-latest-openjdk-headless ;;
    dnf:python) echo python3 ;;
    dnf:rust) echo rustup ;;
    brew:c | brew:c++ | brew:make) ;; # of Xcode: see below
    brew:openssl) echo openssl@3 ;;
    brew:zlib) ;;
    brew:java) echo openjdk ;;
    brew:python) echo python ;;
    brew:rust) echo rustup ;;
    *) echo "$2" ;;
  esac
}

packages() { # package manager, missing things ...
  local manager=$1 thing
  shift
  for thing; do package "$manager" "$thing"; done | tr '\n' ' ' | sed 's/ $//'
}

includes() { # thing, things ...
  local thing=$1 other
  shift
  for other; do [ "$other" != "$thing" ] || return 0; done
  return 1
}

# --- Installing it, or telling how -----------------------------------------------------------------------------------

install_with_apt() { # prefix for root, missing things ...
  local sudo=$1 log names
  shift
  log=$(mktemp)
  if ! $sudo apt-get update -qq >"$log" 2>&1; then
    cat "$log" >&2
    fail 'apt-get update failed (above): is the network up?'
  fi
  names=$(packages apt "$@")
  if [ -n "$names" ]; then
    say "installing $names"
    # shellcheck disable=SC2086 # a list of names
    if ! $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $names \
      >"$log" 2>&1; then
      tail -n 20 "$log" >&2
      fail "apt-get could not install them: the end of its output is above, all of it in $log"
    fi
  fi
  rm -f "$log"
}

and_then() { # command so far, next command or nothing
  if [ -n "$1" ] && [ -n "$2" ]; then echo "$1 && $2"; else echo "$1$2"; fi
}

tell() { # missing things ...
  local command='' sudo=sudo names
  [ "$(id -u)" != 0 ] || sudo=''
  say "missing on this machine: $*"
  if has apt-get; then
    names=$(packages apt "$@")
    [ -z "$names" ] || command="${sudo:+$sudo }apt-get update && ${sudo:+$sudo }apt-get install -y $names"
    if includes rust "$@" && ! apt_has rustup; then command=$(and_then "$command" "$rustup_command"); fi
  elif has dnf; then
    command="${sudo:+$sudo }dnf install -y $(packages dnf "$@")"
    if includes rust "$@"; then command=$(and_then "$command" 'rustup-init -y --profile minimal'); fi
  elif has brew; then
    names=$(packages brew "$@")
    if includes c "$@" || includes c++ "$@" || includes make "$@"; then command='xcode-select --install'; fi
    [ -z "$names" ] || command=$(and_then "$command" "brew install $names")
  elif [ "$*" = rust ]; then
    command=$rustup_command
  else
    fail 'install them with the package manager of this system (java: 17 or newer), then try again'
  fi
  fail "type this, then try again:
  $command"
}

mapfile_missing() { # into the array `lacks`, also with the bash of macOS
  local thing
  lacks=()
  while read -r thing; do lacks+=("$thing"); done < <(missing)
}

[ "$with_network" = no ] || [ "$(uname)" = Linux ] || fail 'faults of the network between brokers need Linux'
mapfile_missing
if [ ${#lacks[@]} -gt 0 ]; then
  if ! has apt-get; then
    tell "${lacks[@]}"
  elif [ "$(id -u)" = 0 ]; then
    install_with_apt '' "${lacks[@]}"
  elif has sudo && sudo -n true 2>/dev/null; then
    install_with_apt sudo "${lacks[@]}"
  else
    tell "${lacks[@]}"
  fi
  hash -r
  mapfile_missing
  [ ${#lacks[@]} -eq 0 ] || tell "${lacks[@]}"
fi

# --- The pinned Rust toolchain ---------------------------------------------------------------------------------------

channel=$(sed -n 's/^channel *= *"\(.*\)"$/\1/p' rust-toolchain.toml)
if has rustup; then
  toolchains=${RUSTUP_HOME:-${HOME:-/root}/.rustup}/toolchains
  if ! compgen -G "$toolchains/$channel-*/bin/cargo" >/dev/null; then
    say "installing Rust $channel"
    rustup --quiet toolchain install "$channel" --profile minimal --component clippy --component rustfmt >/dev/null ||
      fail "rustup could not install Rust $channel (above): is the network up?"
  fi
else
  # A cargo without rustup obeys no rust-toolchain.toml: it must be new enough by itself.
  found=$(cargo --version | sed 's/^cargo \([0-9.]*\).*/\1/')
  printf '%s\n' "$channel" "$found" | sort -V -C ||
    fail "cargo $found is too old, the project needs $channel; type this, then try again:
  $rustup_command"
fi

# --- Python packages for the tests -----------------------------------------------------------------------------------

if ! python_is_current; then
  say "making .venv from $requirements"
  # Anew, so that nothing of an earlier or half-made one is left; the copy of the requirements says that it is done.
  python3 -m venv --clear .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement "$requirements" ||
    fail "pip could not install $requirements (above): is the network up?"
  cp "$requirements" .venv/requirements.txt
fi
