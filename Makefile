# Everything that people and CI do here. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --python-version 3.11
TESTS ?= tests
# Of the real scenarios; `make test STORE=postgresql` needs `apt-get install postgresql`, as do the store suites and the chaos on simulators.
STORE ?= sqlite

.DEFAULT_GOAL := help
.PHONY: help install demo test check lint types imports generate lock bench bench-quotes soak wheel-test up down clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2}'

$(STAMP): deploy/requirements/dev.txt pyproject.toml
	@echo "making $(VENV) from deploy/requirements/dev.txt"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r deploy/requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

install: $(STAMP)  ## make the virtual environment from the pinned requirements

demo: $(STAMP)  ## start everything, run quotes to activated orders, show what happened
	@$(BIN)/fabric demo

test: $(STAMP)  ## run all tests: memory, real Kafka and PostgreSQL, real ERP, billing and support systems, the wheel
	@$(BIN)/python -m pytest $(TESTS)
	@echo "the scenarios once more, on Apache Kafka, $(STORE), Tryton, localstripe and django-helpdesk"
	@$(BIN)/python -m pytest tests/scenarios --real --store $(STORE)

soak: $(STAMP)  ## 500 quotes with payments under every fault, each worker killed; with MINUTES=n the runtime under everything at once
ifdef MINUTES
	@CHAOS_MINUTES=$(MINUTES) $(BIN)/python -m pytest tests/chaos/test_crash_points.py tests/chaos/test_ledger.py -s
else
	@CHAOS_QUOTES=500 $(BIN)/python -m pytest tests/chaos -k every_fault -s
endif

check: $(STAMP) lint types imports test  ## what CI runs

lint: $(STAMP)  ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(STAMP)  ## mypy --strict
	@$(BIN)/mypy

imports: $(STAMP)  ## the import contracts
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

generate: $(STAMP)  ## write the message modules anew from schemas/
	@$(BIN)/python -m integration_fabric.governance.generate

lock: $(STAMP)  ## resolve the pinned requirements anew
	@$(LOCK) --extra local --extra insight --extra dev --upgrade pyproject.toml -o deploy/requirements/dev.txt
	@$(LOCK) --upgrade deploy/requirements/tryton.in -o integration_fabric/local/tryton-requirements.txt
	@$(LOCK) --upgrade deploy/requirements/helpdesk.in -o integration_fabric/local/helpdesk-requirements.txt
	@$(LOCK) --upgrade deploy/requirements/localstripe.in -o integration_fabric/local/localstripe-requirements.txt
	@$(LOCK) --upgrade deploy/requirements/bench-quix.in -o deploy/requirements/bench-quix.txt

bench: $(STAMP)  ## measure beside the peers, in one run
	@$(BIN)/python -m tests.performance.bench

bench-quotes: $(STAMP)  ## measure whole quotes end to end, on SQLite and PostgreSQL
	@$(BIN)/python -m tests.performance.quotes

up: $(STAMP)  ## start the local Kafka
	@$(BIN)/fabric up

down: $(STAMP)  ## stop everything of this checkout
	@$(BIN)/fabric down

clean:  ## remove the virtual environment and all local state
	@test ! -x $(BIN)/fabric || $(BIN)/fabric down || true
	@rm -rf $(VENV) .fabric build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
