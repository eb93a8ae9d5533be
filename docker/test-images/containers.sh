# shellcheck shell=bash
# shellcheck disable=SC2154 # the sourcing script sets the folders
# shellcheck disable=SC2016 # $ in single quotes is jq's
# Both services, run from their images against a broker and a registry on this machine. Sourced by docker/test-images.sh.
#
# A container here is what Docker makes of the compose files, as far as it matters to the program: its image's file
# system, read-only; process 1 of its own; the image's user, without privileges; the image's and the compose files'
# environment. It has the machine's network, so that it needs ports of its own.

declare -A root=() outer=() inner=() port=()
stack_folder=$work/stack

local_stack() { cargo run --quiet --locked --package local-stack -- "$@" --data-dir "$stack_folder"; }

test_containers() {
  section 'Containers'
  start_stack
  local service
  for service in "${services[@]}"; do
    prepare "$service"
    ! health "$service" || failed "$service: healthy before it was started"
  done
  passed 'the health checks fail while nothing runs'
  for service in "${services[@]}"; do
    start "$service"
  done
  for service in "${services[@]}"; do
    wait_until 60 health "$service" || {
      tail -n 20 "$work/$service.log" "$log" >&2
      failed "$service: not healthy within 60 s"
    }
    runs_without_privileges "$service"
    passed "$service: healthy, by the image's own check; process 1, user 65532, no privileges, nothing writable"
  done
  an_order_goes_from_one_to_the_other
  for service in "${services[@]}"; do
    stop "$service"
  done
  quietly local_stack down
}

# A port that nobody listens on.
free_port() { # from
  local candidate=$1
  while (exec 3<>"/dev/tcp/127.0.0.1/$candidate") 2>/dev/null; do
    candidate=$((candidate + 1))
  done
  echo "$candidate"
}

start_stack() {
  local kafka_port registry_port
  kafka_port=$(free_port 19092)
  registry_port=$(free_port 18081)
  quietly cargo build --locked --package local-stack
  quietly local_stack up --kafka-port "$kafka_port" --registry-port "$registry_port"
  bootstrap_servers=$(sed -n 's/^ *Kafka  *//p' "$log")
  registry_url=$(sed -n 's/^ *schema registry  *//p' "$log")
  passed "a broker at $bootstrap_servers, a registry at $registry_url"
  port[cart-service]=$(free_port 18000)
  port[order-service]=$(free_port 18500)
}

# The image's file system, as `read_only` in the compose files has it.
prepare() { # service
  root[$1]=$(images mount "$(images from --pull-never "localhost/$1")")
  mount -o remount,bind,ro "${root[$1]}"
}

# Makes the arguments of `env`: the image's variables, over them those of the compose files, over them the addresses here.
environment_of() { # service
  mapfile -t environment < <(
    jq -r '.Env[]' "$work/$1.json"
    jq -r --arg name "$1" '.services[$name].environment[]' "$(model "$everything")"
  )
  environment+=(
    "KAFKA_BOOTSTRAP_SERVERS=$bootstrap_servers"
    "SCHEMA_REGISTRY_URL=$registry_url"
    "ORDER_SERVICE_URL=http://127.0.0.1:${port[order-service]}"
    "PORT=${port[$1]}"
  )
}

start() { # service
  local environment entrypoint
  environment_of "$1"
  mapfile -t entrypoint < <(jq -r '.Entrypoint[]' "$work/$1.json")
  env -i "${environment[@]}" /usr/bin/setpriv --no-new-privs /usr/bin/unshare --mount --pid --fork --kill-child \
    --root="${root[$1]}" --mount-proc --wd="$(jq -r .WorkingDir "$work/$1.json")" --setgid=65532 --setuid=65532 \
    "${entrypoint[@]}" >"$work/$1.log" 2>&1 </dev/null &
  outer[$1]=$!
  wait_until 5 find_process "$1" || failed "$1: did not start: $(tail -n 3 "$work/$1.log")"
}

find_process() { inner[$1]=$(pgrep --parent "${outer[$1]}" --exact "$1"); }

# The image's health check, inside the container, or, as long as there is none, in its file system.
health() { # service
  local environment check place
  environment_of "$1"
  mapfile -t check < <(jq -r '.Healthcheck.Test[1:][]' "$work/$1.json")
  if [ -n "${inner[$1]-}" ]; then
    place=(/usr/bin/nsenter --target "${inner[$1]}" --mount --pid --root --wd)
  else
    place=(/usr/bin/unshare --root="${root[$1]}")
  fi
  env -i "${environment[@]}" "${place[@]}" --setgid 65532 --setuid 65532 "${check[@]}" >"$log" 2>&1
}

runs_without_privileges() { # service
  local status=/proc/${inner[$1]}/status line
  for line in 'Uid:.65532.65532.65532.65532' 'Gid:.65532.65532.65532.65532' 'Groups:[^0-9]*' 'CapEff:.0*' 'CapPrm:.0*' \
    'NoNewPrivs:.1' 'NSpid:.*.1'; do
    grep -qx "$line" "$status" || failed "$1: $(grep "^${line%%:*}" "$status"), expected $line"
  done
  ! touch "/proc/${inner[$1]}/root/tmp/x" 2>"$log" || failed "$1: its file system can be written to"
}

an_order_goes_from_one_to_the_other() {
  local cart=http://127.0.0.1:${port[cart-service]} begun
  begun=$(date +%s%N)
  curl -sS --fail-with-body --max-time 15 -o "$work/created.json" "$cart/create-order" \
    -H 'Content-Type: application/json' -d '{"orderId": "1001", "itemsCount": 3}' 2>"$log" ||
    failed "create-order: $(cat "$log" "$work/created.json")"
  wait_until 15 order_is_there || failed "order-details: $(cat "$log" "$work/read.json")"
  holds 'the order that is read is the one that was created' \
    '$files as [$created, $read] | $read.orderId == "ORD-1001" and ($read.items | length) == 3
     and $read.totalAmount == $created.order.totalAmount and $read.totalAmount > 0' \
    --null-input --slurpfile files <(cat "$work/created.json" "$work/read.json")
  passed "an order created at cart-service is read at order-service ($((($(date +%s%N) - begun) / 1000000)) ms)"
}

order_is_there() {
  curl -sS --fail-with-body --max-time 5 -o "$work/read.json" 2>"$log" \
    "http://127.0.0.1:${port[order-service]}/order-details?orderId=ORD-1001"
}

stop() { # service
  local begun=$SECONDS code=0
  kill -TERM "${inner[$1]}"
  wait_until 30 has_ended "$1" || failed "$1: still there 30 s after SIGTERM"
  wait "${outer[$1]}" || code=$?
  unset "outer[$1]" "inner[$1]"
  [ "$code" = 0 ] || failed "$1: exit code $code after SIGTERM: $(tail -n 3 "$work/$1.log")"
  passed "$1: exit code 0 after SIGTERM ($((SECONDS - begun)) s)"
}

has_ended() { ! kill -0 "${inner[$1]}" 2>/dev/null; }
