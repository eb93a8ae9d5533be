# shellcheck shell=bash
# shellcheck disable=SC2154 # the sourcing script sets the folders
# shellcheck disable=SC2016 # $ in single quotes is jq's
# The compose files, alone and in all combinations. Sourced by docker/test-images.sh.

# The reference parser, twice: as of Compose 2.40, which still refuses definitions that a later Compose merges, and as of
# today, whose command can print the model.
older_parser=v2.9.1
newer_parser=v2.16.2

producer=docker-compose.producer.yml
consumer=docker-compose.consumer.yml
everything=docker-compose.yml
combinations=(
  "$producer" "$consumer" "$everything"
  "$producer $consumer" "$consumer $producer" "$everything $producer" "$everything $consumer"
  "$everything $producer $consumer"
)

# A variable or an .env file of the user must not change what is tested.
parse() { # version, file...
  (cd "$work/compose" && exec env -i PATH="$PATH" HOME="$work" "$cache/parser/$1/cmd" "${@:2}")
}

# The model as JSON. The parser leaves the environment as it was written, as a map, or as merging made it, a list.
parse_to() { # model, file...
  parse "$newer_parser" -format json "${@:2}" | jq '.services[].environment |=
    (if type == "object" then [to_entries[] | "\(.key)=\(.value)"] else . // [] end | sort)' >"$1"
}

# The file that holds the model of a combination.
model() { echo "$work/models/${1// /+}.json"; }

# Fails unless jq finds the condition true.
holds() { # what, condition, jq arguments...
  jq --exit-status "$2" "${@:3}" >"$log" || failed "$1"
}

test_compose_files() {
  section 'Compose files'
  local version
  for version in "$older_parser" "$newer_parser"; do
    [ -x "$cache/parser/$version/cmd" ] ||
      GOBIN=$cache/parser/$version quietly go install "github.com/compose-spec/compose-go/v2/cmd@$version"
  done
  mkdir -p "$work/compose/docker" "$work/models"
  cp docker-compose*.yml "$work/compose"
  cp docker/infrastructure.yml "$work/compose/docker"

  a_misspelt_key_is_refused
  local combination
  for combination in "${combinations[@]}"; do
    every_combination_is_sound "$combination"
    passed "$combination"
  done
  shared_services_are_the_same_everywhere
  producer_and_consumer_run_side_by_side
  host_ports_can_be_chosen
  kafka_settings_suit_one_node
}

a_misspelt_key_is_refused() {
  sed 's/^    restart:/    restrat:/' "$producer" >"$work/compose/misspelt.yml"
  for version in "$older_parser" "$newer_parser"; do
    ! parse "$version" misspelt.yml >"$log" 2>&1 || failed "compose-go $version lets an unknown key pass"
  done
  passed 'an unknown key is refused'
}

every_combination_is_sound() {
  local combination=$1 files expected model
  read -ra files <<<"$combination"
  model=$(model "$combination")
  for version in "$older_parser" "$newer_parser"; do
    parse "$version" "${files[@]}" >"$log" 2>&1 || failed "$combination: compose-go $version: $(tail -n 1 "$log")"
  done
  parse_to "$model" "${files[@]}"

  case $combination in
    "$producer") expected='["cart-service","kafka","schema-registry"]' ;;
    "$consumer") expected='["kafka","order-service","schema-registry"]' ;;
    *) expected='["cart-service","kafka","order-service","schema-registry"]' ;;
  esac
  holds "$combination: project orders with $expected" \
    '.name == "orders" and (.services | keys) == $expected' --argjson expected "$expected" "$model"
  holds "$combination: no two containers have one name" \
    '[.services[].container_name // empty] | length == (unique | length)' "$model"
  holds "$combination: no host port is published twice" \
    '[.services[].ports[]?.published] | length == (unique | length)' "$model"
  holds "$combination: every service has a health check" \
    '[.services[] | (.healthcheck.test // []) != [] and (.healthcheck.disable | not)] | all' "$model"
  holds "$combination: everything waits for what it depends on to be healthy" \
    '[.services[].depends_on // {} | .[].condition] | length > 0 and all(. == "service_healthy")' "$model"
  holds "$combination: every image is built here or has a version" \
    '[.services[] | if .build then .image == null else .image | test(":[0-9]+[.][0-9]+[.][0-9]+$") end] | all' "$model"
  holds "$combination: what is built here is the target of its own name" \
    '[.services | to_entries[] | select(.value.build) | .value.build.target == .key] | length > 0 and all' "$model"
  holds "$combination: the services have more time to stop than the 25 s that they allow themselves" \
    '[.services[] | select(.build) | (.stop_grace_period | rtrimstr("s") | tonumber) > 25 and (.environment | index("SHUTDOWN_TIMEOUT=25s") != null)] | length > 0 and all' "$model"
  holds "$combination: the data of Kafka is in a named volume" \
    '(.volumes | keys) == ["kafka-data"] and [.services.kafka.volumes[] | .type == "volume" and .source == "kafka-data"] == [true]' "$model"
}

# Compose restarts a running container whose definition differs from the file's.
shared_services_are_the_same_everywhere() {
  local combination model
  for combination in "${combinations[@]}"; do
    model=$(model "$combination")
    holds "$combination: the services and networks are those of $everything" \
      '[$files[] | del(.services[].depends_on)] as [$all, $this]
       | [$this.services | keys[] | $this.services[.] == $all.services[.]] + [$this.networks == $all.networks, $this.volumes == $all.volumes]
       | all' --null-input --slurpfile files <(cat "$(model "$everything")" "$model")
  done
  passed 'a service is the same in every combination: a second `up` leaves it running'
}

producer_and_consumer_run_side_by_side() {
  holds 'producer and consumer share Kafka and registry, and nothing else of theirs clashes' \
    '$files as [$producer, $consumer]
     | ($producer.services | keys) - (($producer.services | keys) - ($consumer.services | keys)) == ["kafka", "schema-registry"]
       and ([$producer.services["cart-service"], $consumer.services["order-service"] | .ports[].published] | length == (unique | length))
       and ([$producer, $consumer | .services.kafka.container_name, .services["cart-service"].container_name, .services["order-service"].container_name] | all(. == null))
       and $producer.name == $consumer.name' \
    --null-input --slurpfile files <(cat "$(model "$producer")" "$(model "$consumer")")
  passed 'producer and consumer side by side: one Kafka, one registry, no clash of names or host ports'
}

# The parser's command knows the defaults of variables and no environment, so the variables are looked at themselves.
host_ports_can_be_chosen() {
  local templates=$work/models/templates.json
  parse "$newer_parser" -format json -no-interpolation "$everything" >"$templates"
  holds 'default host ports' '.services | [.["cart-service"], .["order-service"], .kafka, .["schema-registry"] | .ports[].published]
    == ["8000", "8001", "9092", "8081"]' "$(model "$everything")"
  holds 'variables for the host ports' '.services | [.["cart-service"], .["order-service"], .kafka, .["schema-registry"] | .ports[]]
    == ["${CART_PORT:-8000}:8000", "${ORDER_PORT:-8001}:8001",
        "127.0.0.1:${KAFKA_PORT:-9092}:9092", "127.0.0.1:${REGISTRY_PORT:-8081}:8081"]' "$templates"
  holds 'Kafka tells programs on the host the port that they came in by' \
    '.services.kafka.environment.KAFKA_ADVERTISED_LISTENERS | endswith("//localhost:${KAFKA_PORT:-9092}")' "$templates"
  passed 'host ports: 8000, 8001, 9092, 8081, or CART_PORT, ORDER_PORT, KAFKA_PORT, REGISTRY_PORT'
}

kafka_settings_suit_one_node() {
  local setting
  for setting in AUTO_CREATE_TOPICS_ENABLE=false OFFSETS_TOPIC_REPLICATION_FACTOR=1 \
    TRANSACTION_STATE_LOG_REPLICATION_FACTOR=1 TRANSACTION_STATE_LOG_MIN_ISR=1; do
    holds "KAFKA_$setting" '.services.kafka.environment | index("KAFKA_" + $setting) != null' \
      --arg setting "$setting" "$(model "$everything")"
  done
  passed 'Kafka: one replica of the internal topics, no automatic topics'
}
