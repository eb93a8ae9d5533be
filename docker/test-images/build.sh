# shellcheck shell=bash
# shellcheck disable=SC2154 # the sourcing script sets the folders
# shellcheck disable=SC2016 # $ in single quotes is jq's
# The Dockerfile, built for real, and what the images are like. Sourced by docker/test-images.sh.

build_images() {
  section 'Images'
  local begun=$SECONDS service
  # The first two are named so that they outlast the clean-up at the end: they are the next run's cache.
  build dependencies
  passed "dependencies built, or taken from the cache ($((SECONDS - begun)) s)"
  begun=$SECONDS
  build programs
  ! grep -q 'Compiling rdkafka-sys' "$log" || failed 'the programs were built with dependencies that were cached already'
  passed "programs built, on the cached dependencies ($((SECONDS - begun)) s)"
  for service in "${services[@]}"; do
    build "$service"
    image_is_as_described "$service"
    image_fits_the_compose_file "$service"
    image_holds_the_program_alone "$service"
  done
  # Layers of earlier versions.
  quietly images rmi --prune
  told "disk: $(du -sh "$cache" | cut -f 1) in .data/images"
}

build() { # target
  quietly images build --layers --pull-never --format docker --target "$1" --tag "localhost/$1" --file Dockerfile .
}

config_of() { images inspect --type image "localhost/$1" | jq .Docker.config; }

image_is_as_described() { # service
  local config=$work/$1.json description version
  config_of "$1" >"$config"
  description=$(sed -n 's/^description = "\(.*\)"$/\1/p' "crates/$1/Cargo.toml")
  version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
  holds "$1: not root, stopped with SIGTERM, its program as entry point" \
    '.User == "65532:65532" and .StopSignal == "SIGTERM" and .Entrypoint == ["/usr/local/bin/" + $name]' \
    --arg name "$1" "$config"
  holds "$1: labels with the name, and the version and description of Cargo.toml" \
    '.Labels | .["org.opencontainers.image.title"] == $name and .["org.opencontainers.image.version"] == $version
     and .["org.opencontainers.image.description"] == $description and .["org.opencontainers.image.licenses"] != null' \
    --arg name "$1" --arg version "$version" --arg description "$description" "$config"
  passed "$1: user 65532, SIGTERM, entry point, labels as in Cargo.toml $version"
}

image_fits_the_compose_file() { # service
  holds "$1: the health check is the same in the image and in the compose files" \
    '$files as [$image, $all] | $image.Healthcheck.Test == $all.services[$name].healthcheck.test
     and $image.Healthcheck.Test == ["CMD", $image.Entrypoint[0], "healthcheck"]' \
    --null-input --arg name "$1" --slurpfile files <(cat "$work/$1.json" "$(model "$everything")")
  holds "$1: the compose files publish the port that the image exposes" \
    '$files as [$image, $all] | ($image.ExposedPorts | keys) == [$all.services[$name].ports[] | "\(.target)/tcp"]' \
    --null-input --arg name "$1" --slurpfile files <(cat "$work/$1.json" "$(model "$everything")")
  passed "$1: health check and port as in the compose files"
}

image_holds_the_program_alone() { # service
  local container root programs missing
  container=$(images from --pull-never "localhost/$1")
  root=$(images mount "$container")
  # Whatever lies in a folder for programs. There is no usr/local/sbin, so find is not to judge.
  programs=$(find "$root"/{bin,sbin,usr/bin,usr/sbin,usr/local/bin,usr/local/sbin}/ -mindepth 1 -printf '%f\n' 2>"$log" || true)
  [ "$programs" = "$1" ] || failed "$1: programs in the image: $programs"
  [ -z "$(find "$root" -xdev -type f -perm /6000)" ] || failed "$1: files that run as another user"
  passed "$1: no shell, no curl, no program but its own"

  missing=$(chroot "$root" /lib64/ld-linux-x86-64.so.2 --list "/usr/local/bin/$1" | grep 'not found' || true)
  [ -z "$missing" ] || failed "$1: $missing"
  [ -s "$root/$(jq -r '.Env[] | ltrimstr("SSL_CERT_FILE=") | select(startswith("/etc"))' "$work/$1.json")" ] ||
    failed "$1: no CA certificates"
  passed "$1: finds its libraries and the CA certificates"
  told "$1: image $(images images --json "localhost/$1" | jq -r '.[0].size'), of which the program" \
    "$(du -h --apparent-size "$root/usr/local/bin/$1" | cut -f 1)"
  quietly images umount "$container"
  quietly images rm "$container"
}
