# Everything that is typed while working here. `make help` lists it.

PROFILE ?= dev
CART_PORT ?= 8000
ORDER_PORT ?= 8001
KAFKA_PORT ?= 9092
REGISTRY_PORT ?= 8081
BROKERS ?= 1
# The commit that `make test-upgrade` upgrades from.
UPGRADE_FROM ?= 1bc7a29

# How many trials `make test-cluster` and `make test-network` have.
TRIALS ?= 10
# How many events a second these write straight into the topic. 5,000 take all of two cores, so that brokers start slowly.
EVENTS ?= 5000

# Cargo keeps the dev profile's programs in a folder of another name.
target := $(or $(CARGO_TARGET_DIR),target)
programs := $(target)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))
# With --workspace also for one test: the features of all packages together, with which everything is built already.
cargo := cargo
test_times := $(abspath $(target))/test-times.txt
stack_options := --brokers $(BROKERS) --kafka-port $(KAFKA_PORT) --registry-port $(REGISTRY_PORT)

# Where rustup puts cargo, for the shell in which it was just installed.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin
# These go to the programs as flags. In the environment of a service, KAFKA_PORT would be a property of its client.
unexport PROFILE CART_PORT ORDER_PORT KAFKA_PORT REGISTRY_PORT BROKERS

.DEFAULT_GOAL := help
.PHONY: help setup build run test test-long test-cluster test-kafka-4.3.1 test-api test-checker test-failover test-flood test-memory test-speed test-upgrade test-images docs lint stack-up stack-down stack-status clean-data
# One recipe at a time: setup before build, build before run.
.NOTPARALLEL:

help: ## list the targets
	@sed -n 's/^\([a-z0-9.-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r target text; do printf '%-20s %s\n' "$$target" "$$text"; done
	@echo
	@echo '  Variables: CART_PORT=$(CART_PORT) ORDER_PORT=$(ORDER_PORT) KAFKA_PORT=$(KAFKA_PORT) REGISTRY_PORT=$(REGISTRY_PORT) BROKERS=$(BROKERS) (or 3) PROFILE=$(PROFILE) (or release)'

run: setup build ## run everything until Ctrl-C: Kafka, schema registry, both services
	@exec $(programs)/local-stack run $(stack_options) --cart-port $(CART_PORT) --order-port $(ORDER_PORT)

test: ## run all tests, against a real broker and registry
	@stack/setup.sh --with-tests
	$(cargo) build --workspace --bins --locked
	@rm -f $(test_times)
	@# The slowest tests are told whatever the outcome, which stays the recipe's own. They wait a lot: one more than processors.
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$(($$(getconf _NPROCESSORS_ONLN) + 1))} TEST_TIMES=$(test_times) $(cargo) test --workspace --locked --no-fail-fast; outcome=$$?; tests/slowest.sh $(test_times); \
	    $(cargo) test --workspace --test cluster --locked && exit $$outcome

test-long: ## run the tests of crashes and outages with more rounds; half an hour
	@stack/setup.sh --with-tests
	TEST_LONG=1 $(cargo) test --workspace --test end_to_end --locked -- exactly_once

test-cluster: ## run TRIALS trials of faults on three brokers, beginning with SEED; some minutes each, with a release build (EVENTS=1000)
	@stack/setup.sh
	TRIALS=$(TRIALS) CLUSTER_SECONDS=60 CLUSTER_FAULTS=12 CLUSTER_EVENTS=$(EVENTS) CLUSTER_CLIENTS=8 \
	    $(cargo) test --release --package end-to-end-tests --test cluster --locked

.PHONY: test-network
test-network: ## the same, with packets lost between the brokers; Linux, as root, never in CI
	@stack/setup.sh --with-network
	@CLUSTER_NETWORK=1 $(MAKE) --no-print-directory test-cluster

test-kafka-4.3.1: ## run the tests of the broker's outages on Kafka 4.3.1, which loses commits (docs/kafka.md); they may fail
	@stack/setup.sh --with-tests
	TEST_KAFKA_VERSION=4.3.1 $(cargo) test --workspace --test end_to_end --locked -- exactly_once_outages

test-api: ## check the descriptions in docs/ with their official tools, and the services against them; some minutes
	@stack/setup.sh --with-tests --with-node
	.venv/bin/openapi-spec-validator docs/*.openapi.json
	cd tests/api && npm ci --no-audit --no-fund --loglevel=error
	node tests/api/asyncapi.js docs/asyncapi.json
	$(cargo) build --workspace --bins --locked
	$(cargo) test --workspace --test api --locked

test-checker: ## run the checker of the end-to-end tests against order-services with planted defects; some twenty minutes (DEFECTS='none update-lost')
	@stack/setup.sh --with-tests
	tests/checker.sh $(DEFECTS)

test-failover: ## measure how long an order waits when one of three brokers fails; twenty minutes, with nothing else running
	@stack/setup.sh
	$(cargo) bench --package end-to-end-tests --bench failover --locked

test-flood: ## create 10,000 orders beside 100,000 mistakes of other clients, and measure; some minutes
	@stack/setup.sh
	$(cargo) bench --package end-to-end-tests --bench flood --locked

test-memory: ## fail if 25,000 waiting events of 1.4 MB take too much memory; some minutes
	@stack/setup.sh
	$(cargo) bench --package end-to-end-tests --bench memory --locked

test-speed: ## fail if a release build of order-service is too slow; some minutes, with nothing else running
	@stack/setup.sh
	$(cargo) bench --package end-to-end-tests --bench speed --locked

test-upgrade: ## upgrade from an older commit under load, go back, and upgrade again; some minutes (UPGRADE_FROM=1bc7a29)
	@stack/setup.sh --with-tests
	tests/upgrade.sh $(UPGRADE_FROM)

docs: setup ## write the descriptions in docs/ anew from the code
	UPDATE_DOCS=1 $(cargo) test --quiet --package cart-service --package order-service --test description --locked

test-images: setup ## check the compose files, build the images, run the services from them; no Docker needed (Debian, root)
	@docker/test-images.sh

lint: setup ## check formatting, lints, documentation, and dependencies if cargo-deny is installed
	$(cargo) fmt --all --check
	git apply --check tests/defects/*.patch
	for change in tests/changes/*.patch; do git apply --check "$$change" || exit 1; done
	$(cargo) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(cargo) doc --workspace --no-deps --locked
	@# Without advisories: these need their database from the network, and change without a change of ours.
	@if $(cargo) deny --version >/dev/null 2>&1; then $(cargo) deny --locked check --hide-inclusion-graph bans licenses sources; else echo 'cargo-deny is not installed: dependencies not checked'; fi

stack-up: setup build-stack ## start Kafka and the schema registry in the background
	@$(programs)/local-stack up $(stack_options)

stack-down: setup build-stack ## stop them; their data stays
	@$(programs)/local-stack down

stack-status: setup build-stack ## tell how they are
	@$(programs)/local-stack status || true

clean-data: setup build-stack ## delete their data and logs
	@$(programs)/local-stack clean-data

setup: ## install what this machine lacks, or tell what to type
	@stack/setup.sh

build: ## build all programs
	$(cargo) build --workspace --bins --locked --profile $(PROFILE)

.PHONY: build-stack
build-stack:
	@$(cargo) build --quiet --package local-stack --locked --profile $(PROFILE)
