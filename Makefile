# Every command makes the virtual environment and finds or installs what it needs; see sandbox/prepare.py.

SHELL := /bin/bash
.DEFAULT_GOAL := help

BIN := .venv/bin
PYTHON = $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)
prepare = $(if $(PYTHON),$(PYTHON) -m sandbox.prepare --need $(1),\
	echo 'error: no Python 3.11 or newer here; next step: install it (Debian: apt-get install python3 python3-venv)' >&2; exit 1)

# What `make bench` is told besides, for example BENCH='--only drain --rounds 5'.
BENCH :=

.PHONY: help demo shop bench test soak test-unit matrix check fmt clean venv servers tests-prepared

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: servers ## a shop in both directions, then the main job while everything is killed, on private servers
	@$(BIN)/python -m sandbox.shop_demo
	@$(BIN)/python -m sandbox.demo

shop: servers ## what the tutorial needs: PostgreSQL, RabbitMQ, a shop, an ERP and a CRM, until Ctrl-C (examples/shop)
	@$(BIN)/python -m sandbox.shop_stage

bench: ## measure it beside a C client, the usual SKIP LOCKED relay and a plain table (a quarter of an hour)
	@$(call prepare,bench)
	@$(BIN)/python -m bench $(BENCH)

test: tests-prepared ## all tests
	@$(BIN)/python -m pytest -n 3 --dist loadgroup

soak: servers ## everything struck at random (MINUTES=30 SEED=… FLOWS=…), what tests must catch, the tests that take minutes
	@$(BIN)/python -m sandbox.soak --minutes $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED)) $(if $(FLOWS),--flows $(FLOWS))
	@$(BIN)/python -m sandbox.soak_mutations
	@$(BIN)/python -m pytest -m soak

test-unit: venv ## the tests that need no server
	@$(BIN)/python -m pytest -q tests/unit

matrix: servers ## the tests of relay, inbox and topology on several PostgreSQL and RabbitMQ versions (ONLY=pg18,rabbitmq4)
	@$(BIN)/python -m sandbox.matrix $(if $(ONLY),--only $(ONLY))

check: venv ## lint, format, types, imports, house rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -q tests/unit/test_house_rules.py

fmt: venv ## format, and fix what the linter can fix
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean: ## remove what these commands made
	@rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

venv:
	@$(call prepare,venv)

servers:
	@$(call prepare,servers)

tests-prepared:
	@$(call prepare,tests)
