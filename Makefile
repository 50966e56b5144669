# What a contributor needs. `make help` lists the targets.
#
# CARGO_TARGET_DIR may point outside the checkout, so that several checkouts share what is built once.

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
EDDYLINE := $(TARGET)/debug/eddyline

.DEFAULT_GOAL := help
.PHONY: help build generate check test demo bench fuzz fmt

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

build: ## Build everything, for development: the binary is target/debug/eddyline
	e2e/prerequisites.sh build
	$(CARGO) build --workspace --all-targets

generate: ## Write what follows from the types: custom resource definitions, their reference, the worker's API
	$(CARGO) build --workspace --bin eddyline-crds
	$(TARGET)/debug/eddyline-crds generate

fmt: ## Format the code
	$(CARGO) fmt --all

check: ## Formatting, lints, house rules, chart and kustomize bases
	e2e/prerequisites.sh build
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	e2e/house-rules.sh
	e2e/deployment-check.sh

test: build ## Every test, with a real Kafka broker and a real S3 server
	e2e/prerequisites.sh services
	e2e/test.sh

demo: build ## The sensor job on bundled and on generated readings; results here and in target/demo
	e2e/demo.sh $(EDDYLINE)

bench: ## Whole-process benchmarks beside DuckDB, in release
	e2e/prerequisites.sh bench
	$(CARGO) build --release --workspace
	benches/run.sh $(TARGET)/release/eddyline

fuzz: ## A minute of each fuzz target (needs a nightly toolchain and cargo-fuzz)
	worker/fuzz/run.sh 60
