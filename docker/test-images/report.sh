# shellcheck shell=bash
# shellcheck disable=SC2154 # the sourcing script sets the folders
# What is printed, and how commands are run. Sourced by docker/test-images.sh.

section() { printf '\n%s\n' "$*"; }
passed() { printf '  ok    %s\n' "$*"; }
told() { printf '        %s\n' "$*"; }

failed() {
  printf '  FAIL  %s\n' "$*" >&2
  exit 1
}

# Runs something that may take long. In the background, because bash would put off a signal until it has ended.
attempt() {
  "$@" >"$log" 2>&1 </dev/null &
  wait $!
}

# The same for what must succeed.
quietly() {
  attempt "$@" || {
    tail -n 40 "$log" >&2
    failed "$*"
  }
}

# The command, until it succeeds or the time is over.
wait_until() { # seconds, command...
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.2
  done
}
