#!/usr/bin/env bash
# Builds the services of an older commit beside those of the working tree, and runs tests/upgrade with both.
# $1: the commit. Sources and build are kept in target/upgrade, so that another run only tests.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

commit=$1
mkdir -p "${CARGO_TARGET_DIR:-target}/upgrade"
upgrade=$(cd "${CARGO_TARGET_DIR:-target}/upgrade" && pwd)
old=$upgrade/$commit

if [ ! -e "$old/Cargo.toml" ]; then
  git cat-file -e "$commit^{commit}" 2>/dev/null ||
    { echo "test-upgrade: this clone does not have the commit $commit: git fetch --unshallow" >&2; exit 1; }
  git worktree prune # of a folder that was deleted
  git worktree add --detach "$old" "$commit"
fi
(cd "$old" && CARGO_TARGET_DIR=$upgrade/target cargo build --locked -p cart-service -p order-service)

echo "test-upgrade: from $commit to $(git describe --always --dirty)"
UPGRADE_FROM=$upgrade/target/debug cargo test --package end-to-end-tests --test upgrade --locked -- --nocapture
