# What a contributor needs. `make help` lists the targets.
#
# CARGO_TARGET_DIR may point outside the checkout, so that several checkouts share what is built once.

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
EDDYLINE := $(TARGET)/debug/eddyline

.DEFAULT_GOAL := help
.PHONY: help build generate check test expressions demo screens bench fuzz fmt programs images cluster cluster-down deploy e2e e2e-full

# release or debug: which build the images hold.
PROFILE ?= release
# Worker nodes of the cluster; 0 means one node that does all.
WORKERS ?= 0
export PROFILE

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

build: ## Build everything, for development: the binary is target/debug/eddyline
	e2e/prerequisites.sh build
	$(CARGO) build --workspace --all-targets

generate: ## Write what follows from the types: custom resource definitions, their reference, the worker's API
	$(CARGO) build --workspace --all-targets
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

# EDDYLINE_EXPRESSIONS: how many.
expressions: ## A million random expressions, by the engine and by the reference
	e2e/prerequisites.sh build
	EDDYLINE_EXPRESSIONS=$(or $(EDDYLINE_EXPRESSIONS),1000000) $(CARGO) test --workspace --lib random_expressions

demo: build ## The sensor job on bundled and on generated readings; results here and in target/demo
	e2e/demo.sh $(EDDYLINE)

screens: build ## The pictures and the pasted screens of the docs, from real runs (CLUSTER=cluster: those of a cluster too)
	docs/screens/make.sh $(EDDYLINE) $(CLUSTER)

bench: ## Whole-process benchmarks beside DuckDB, in release
	e2e/prerequisites.sh build
	$(CARGO) build --release --workspace
	benches/run.sh $(TARGET)/release/eddyline

fuzz: ## A minute of each fuzz target (needs cargo-fuzz; with a nightly toolchain or the stable one)
	worker/fuzz/run.sh 60

programs: ## The programs that images hold, built with PROFILE=release or debug
	e2e/prerequisites.sh build
	$(CARGO) build --workspace $(if $(filter debug,$(PROFILE)),--all-targets,--$(PROFILE))

images: programs ## Container images of the worker and the controller (PROFILE=release or debug, TAG)
	e2e/images/build.sh

cluster: ## A kind cluster for development, with Kafka and S3 in it (WORKERS=2: a control plane and two workers)
	e2e/prerequisites.sh services
	e2e/kind/cluster.sh up $(WORKERS)
	e2e/kind/services.sh up

cluster-down: ## Delete that cluster
	e2e/kind/cluster.sh down

deploy: programs ## Build, make images, load what changed into the cluster, and install the chart (PROFILE, TAG)
	e2e/kind/deploy.sh

e2e: ## A cluster from nothing, the chart and the core scenarios in it; what CI runs (PROFILE)
	e2e/prerequisites.sh services
	e2e/run.sh core

e2e-full: ## Every scenario, on a cluster with two worker nodes
	e2e/prerequisites.sh services
	WORKERS=2 e2e/run.sh full
