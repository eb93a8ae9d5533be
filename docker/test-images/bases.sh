# shellcheck shell=bash
# shellcheck disable=SC2154 # the sourcing script sets the folders
# Base images to build on where no image can be pulled: the same Debian release, the packages of the real ones, under the
# names that the Dockerfile uses. Sourced by docker/test-images.sh.

release=trixie
# The official rust image, -slim: a minimal Debian with these, and the toolchain, which is this machine's.
rust_packages=ca-certificates,gcc,libc6-dev
# gcr.io/distroless/cc-debian13, by its own lists: static, base and cc (static/, base/ and cc/config.bzl there).
distroless_packages=base-files,netbase,tzdata,tzdata-legacy,media-types
distroless_packages+=,libc6,libssl3t64,libzstd1,zlib1g
distroless_packages+=,libgomp1,libstdc++6,libgcc-s1,gcc-14-base
# This machine's, since its way to the package registries may go through a proxy that only this machine trusts.
certificates=/etc/ssl/certs/ca-certificates.crt

# Everything of buildah's is kept below .data/images, apart from what else the machine has.
images() {
  TMPDIR=$work/tmp BUILDAH_ISOLATION=chroot \
    buildah --root "$cache/$driver" --runroot "$work/buildah" --storage-driver "$driver" "$@"
}

make_base_images() {
  section 'Base images'
  mkdir -p "$work/tmp"
  find_storage_driver
  # Left over from a run that was killed.
  attempt images rm --all || true

  local name toolchain fingerprint
  toolchain=$(rustc --print sysroot)
  fingerprint=$({ cat docker/test-images/bases.sh "$certificates" && rustc --version; } | sha256sum | cut -c 1-16)
  while read -r name; do
    if [ "$(label_of "$name")" = "$fingerprint" ]; then
      passed "$name: there from an earlier run"
      continue
    fi
    case $name in
      "rust:$(pinned_rust)-slim-$release") make_rust_image "docker.io/library/$name" ;;
      gcr.io/distroless/cc-debian13:nonroot) make_distroless_image "$name" ;;
      *) failed "Dockerfile: no stand-in for $name (Rust of rust-toolchain.toml: $(pinned_rust))" ;;
    esac
    passed "$name: made from Debian $release"
  done < <(awk '$1 == "FROM" && $2 ~ /:/ { print $2 }' Dockerfile)
}

pinned_rust() { sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml; }

# With overlay, a layer is stored once; with vfs, each has a copy of all below it.
find_storage_driver() {
  driver=vfs
  mkdir -p "$work/overlay/"{lower,upper,work,merged}
  local options="lowerdir=$work/overlay/lower,upperdir=$work/overlay/upper,workdir=$work/overlay/work"
  if mount -t overlay overlay -o "$options" "$work/overlay/merged" 2>"$log"; then
    umount "$work/overlay/merged"
    driver=overlay
  fi
}

label_of() { images inspect --type image "$1" 2>"$log" | jq -r '.Docker.config.Labels["stand-in"] // empty'; }

make_rust_image() { # name
  local container root home=/usr/local/rustup/toolchain program
  [[ $(rustc --version) == "rustc $(pinned_rust) "* ]] || failed "rustc is not $(pinned_rust): $(rustc --version)"
  quietly mmdebstrap --variant=minbase --include="$rust_packages" "$release" "$work/rust.tar"
  container=$(images from scratch)
  quietly images add "$container" "$work/rust.tar" /
  rm "$work/rust.tar"
  root=$(images mount "$container")
  mkdir -p "$root$home" "$root/usr/local/cargo/bin"
  quietly cp -a "$toolchain/bin" "$toolchain/lib" "$root$home"
  for program in cargo rustc rustdoc; do
    ln -s "$home/bin/$program" "$root/usr/local/cargo/bin/$program"
  done
  cp "$certificates" "$root$certificates"
  commit_base "$container" "$1" --env CARGO_HOME=/usr/local/cargo \
    --env PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
}

make_distroless_image() { # name
  local container root
  quietly mmdebstrap --variant=extract --include="$distroless_packages" "$release" "$work/distroless.tar"
  container=$(images from scratch)
  quietly images add "$container" "$work/distroless.tar" /
  rm "$work/distroless.tar"
  root=$(images mount "$container")
  # Of packages that apt took along and distroless does not.
  rm -f "$root"/usr/bin/* "$root"/usr/sbin/*
  rm -rf "$root"/usr/lib/x86_64-linux-gnu/ossl-modules "$root/usr/lib/ssl" "$root/etc/ssl"
  printf '%s:/sbin/nologin\n' root:x:0:0:root:/root nobody:x:65534:65534:nobody:/nonexistent \
    nonroot:x:65532:65532:nonroot:/home/nonroot >"$root/etc/passwd"
  printf '%s:\n' root:x:0 nobody:x:65534 tty:x:5 staff:x:50 nonroot:x:65532 >"$root/etc/group"
  install -d -m 1777 "$root/tmp"
  install -d -m 700 -o 65532 -g 65532 "$root/home/nonroot"
  install -D -m 644 "$certificates" "$root$certificates"
  commit_base "$container" "$1" --user 65532 --workingdir /home/nonroot \
    --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
}

commit_base() { # container, name, configuration...
  quietly images umount "$1"
  quietly images config --label "stand-in=$fingerprint" "${@:3}" "$1"
  quietly images commit --rm --format docker "$1" "$2"
}
