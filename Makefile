# Portolan in two commands: `make demo` and `make test`. `make help` lists the rest.
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help demo test lint compose bench sim soak

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## simulated fleet, embedded broker, live map; options in ARGS="--for 60s --seed 7"
	@.ci/tools build
	@$(CARGO) run --quiet --release --locked -p portolan-server -- demo $(ARGS)

test: lint compose ## everything that is checked: format, lints, tests of all crates, compose file
	@.ci/tools e2e; .ci/parquet-readers; .ci/senders; rm -f $(TARGET)/e2e-broker.txt
	@$(CARGO) test --workspace --locked --no-fail-fast $(ARGS); status=$$?; cat $(TARGET)/e2e-broker.txt 2>/dev/null; exit $$status

lint: ## format and lints, warnings denied
	@.ci/tools build lint
	@$(CARGO) fmt --all --check && $(CARGO) clippy --workspace --all-targets --locked --quiet -- -D warnings

compose: ## whether docker-compose.yml is well formed, where docker-compose is installed
	@.ci/compose

bench: ## benchmarks of the parts and of the whole line
	@.ci/tools build e2e
	@$(CARGO) bench --locked -p portolan-benches $(ARGS)

sim: ## the line and the store under faults, by seeds: SEEDS=10000, or SIM_SEED=17 for one with its story
	@.ci/tools build
	@SEEDS=$(SEEDS) FROM=$(FROM) SIM_SEED=$(SIM_SEED) $(CARGO) run --quiet --release --locked -p portolan-sim

soak: ## the fleet at full speed and a kill -9 every few seconds against a real Kafka: FOR=5m
	@.ci/tools build e2e
	@SOAK_FOR=$(or $(FOR),5m) $(CARGO) test --quiet --release --locked -p portolan-e2e --test soak -- --nocapture
