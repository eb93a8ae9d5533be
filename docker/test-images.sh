#!/usr/bin/env bash
# Tests the compose files and the images where there is no Docker: on Debian, as root, with what stack/setup.sh installs.
#
# Real here: the reference parser of the Compose specification, the build of the Dockerfile (by buildah), the programs,
# a broker and a registry. Stand-ins: the base images, which are made from Debian's packages (test-images/bases.sh), and
# the start of a container, which is done with the kernel's namespaces (test-images/containers.sh).
#
# Prints one line a check and ends at the first that fails. Base images, build layers and the parser are kept in
# .data/images (about 2.5 GB), which may be deleted at any time.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ "$(id -u)" != 0 ]; then
  echo 'test-images: needs root, to build and run images without Docker' >&2
  exit 1
fi
if [ "${1-}" != --inside ]; then
  # Every process and mount of this test lives in namespaces that the kernel ends with this script, however it ends:
  # services, broker and registry, a build that was under way. unshare itself is deaf to SIGINT and SIGTERM; killed, it
  # passes SIGTERM on.
  nice setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child=SIGTERM --mount-proc "$0" --inside </dev/null &
  inside=$!
  trap 'kill -KILL "$inside"; exit 130' INT TERM HUP
  code=0
  wait "$inside" || code=$?
  exit "$code"
fi

cache=$PWD/.data/images
work=$cache/run # of this run; after a failure it stays for a look, until the next run
log=$work/log
services=(cart-service order-service)

# shellcheck source=docker/test-images/report.sh
. docker/test-images/report.sh
# shellcheck source=docker/test-images/compose.sh
. docker/test-images/compose.sh
# shellcheck source=docker/test-images/bases.sh
. docker/test-images/bases.sh
# shellcheck source=docker/test-images/build.sh
. docker/test-images/build.sh
# shellcheck source=docker/test-images/containers.sh
. docker/test-images/containers.sh

end() {
  local code=$?
  [ "$code" != 0 ] || rm -rf "$work"
  exit "$code"
}
trap end EXIT
trap 'failed "${BASH_SOURCE[0]}, line $LINENO: $BASH_COMMAND"' ERR
trap 'exit 130' TERM

mkdir -p "$cache"
exec 9>"$cache/lock"
flock --nonblock 9 || failed 'another run is under way in this checkout'
rm -rf "$work"
mkdir -p "$work"

install_tools() {
  local tool missing=()
  for tool in buildah:buildah mmdebstrap:mmdebstrap jq:jq curl:curl pgrep:procps go:golang-go; do
    command -v "${tool%:*}" >/dev/null || missing+=("${tool#*:}")
  done
  [ "${#missing[@]}" = 0 ] || {
    quietly apt-get update
    DEBIAN_FRONTEND=noninteractive quietly apt-get install -y --no-install-recommends "${missing[@]}"
    passed "installed ${missing[*]}"
  }
}

install_tools
test_compose_files
make_base_images
build_images
test_containers
passed "all of it, in $SECONDS s"
