#!/usr/bin/env bash
# Checks the checker: builds the services as they are and with each of the defects in tests/defects, and runs
# tests/defects with them. $@: names of defects, if not all are wanted; `none` stands for the services as they are.
# Works on a copy of the working tree in target/defects, which is kept, so that another run builds only what differs.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

root=$PWD
mkdir -p "${CARGO_TARGET_DIR:-target}/defects/source"
defects=$(cd "${CARGO_TARGET_DIR:-target}/defects" && pwd)
source=$defects/source

# What did not change keeps its time, by which cargo knows it.
copy_the_tree() {
  git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
    if [ -e "$file" ] && ! cmp -s "$file" "$source/$file"; then
      mkdir -p "$(dirname "$source/$file")"
      cp "$file" "$source/$file"
    fi
  done
  (cd "$source" && find . -type f -print0) | while IFS= read -r -d '' file; do
    [ -e "$file" ] || rm "$source/$file"
  done
}

# $1: the name of a defect, or `none`.
build() {
  copy_the_tree
  # git takes no notice of the repository around the copy then.
  [ "$1" = none ] || GIT_CEILING_DIRECTORIES=$defects git -C "$source" apply "$root/tests/defects/$1.patch"
  (cd "$source" && CARGO_TARGET_DIR=$defects/target cargo build --quiet --locked -p cart-service -p order-service)
  mkdir -p "$defects/programs/$1"
  cp "$defects"/target/debug/{cart,order}-service "$defects/programs/$1/"
}

run() {
  local expected=
  if [ "$1" != none ]; then
    expected=$(sed -n 's/^Expected: //p' "tests/defects/$1.patch")
    [ -n "$expected" ] || { echo "tests/defects/$1.patch does not say what is Expected" >&2; return 1; }
  fi
  DEFECT=$1 DEFECT_EXPECTED=$expected DEFECT_PROGRAMS=$defects/programs/$1 \
    cargo test --quiet --package end-to-end-tests --test defects --locked -- --nocapture
}

names=("$@")
if [ $# -eq 0 ]; then
  names=(none)
  for patch in tests/defects/*.patch; do names+=("$(basename "$patch" .patch)"); done
fi
echo "test-checker: $(git describe --always --dirty)"
failed=()
for name in "${names[@]}"; do
  build "$name"
  run "$name" || failed+=("$name")
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "test-checker: failed: ${failed[*]}" >&2
  exit 1
fi
