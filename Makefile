# Two commands do it all on a fresh machine: `make demo` shows it, `make test` proves it.
# Variables: PYTHON=3.13 uses that interpreter, in an environment of its own; ARGS reaches pytest;
# MEASURED=yes takes the coverage that `make test ARGS=--cov` has measured before.
ENVIRONMENT := .venv$(addprefix -,$(PYTHON))
BIN := $(ENVIRONMENT)/bin
SDK := .cache/agent-sandbox
RUN := $(BIN)/python -m
# Each worker keeps to a row of tests, so that a module's fake proxy is started once or twice.
PYTEST := $(RUN) pytest --numprocesses auto --dist worksteal
.DEFAULT_GOAL := help
.PHONY: help install sdk demo fake contract test test-client test-fakeproxy test-contract \
  test-integration check coverage e2e lowest snapshot bench lint format clean

help:  ## Say what each target does
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install:  ## Set up .venv with uv, or with venv and pip; skipped when nothing changed
	@sh client/launch $(addprefix --python ,$(PYTHON)) --extras contract,fakeproxy,dev
	@$(MAKE) --no-print-directory sdk

# The public client of the runtime's API, against which the fake is tested, declares a cloud's whole
# SDK, half a gigabyte that it never imports: it is installed without its dependencies.
sdk:  ## Fetch the public client of the runtime, which tests use; part of make install
	@test -d $(SDK) || $(RUN) pip install --quiet --disable-pip-version-check \
	  --no-deps --target $(SDK) 'agent-sandbox>=0.0.30'

demo: install  ## Create, prompt, pause, resume and delete a sandbox, offline, in seconds
	@$(RUN) tools.demo

fake: install  ## Serve the fake proxy on 127.0.0.1:8080 until Ctrl-C
	@exec $(BIN)/sandbox-fakeproxy serve

# What is given to make as NAME=VALUE reaches the command by its environment, keys too.
contract: install  ## Judge the fake by the contract, or the proxy at PROXY_URL with ADMIN_API_KEY
	@if [ -n "$(PROXY_URL)" ]; then exec $(BIN)/sandbox-contract run $(ARGS); \
	  else exec $(RUN) tests.contract $(ARGS); fi

test: install  ## Lint, then run the tests: 5 to 10 minutes on two cores
	@echo "make test: format, rules and types (half a minute), then the tests (5 to 10 minutes on two cores)"
	@$(MAKE) --no-print-directory lint
	@$(PYTEST) $(ARGS)

test-client: install  ## Run the client's tests: 1 to 2 minutes
	@$(PYTEST) tests/client $(ARGS)

test-fakeproxy: install  ## Run the fake proxy's tests: 1 minute
	@$(PYTEST) tests/fakeproxy $(ARGS)

test-contract: install  ## Run the contract's tests: 1 minute
	@$(PYTEST) tests/contract $(ARGS)

test-integration: install  ## Run the tests of client and fake together: 3 minutes
	@$(PYTEST) tests/integration $(ARGS)

check: install  ## Run all that `make test` leaves out: about 20 minutes
	@echo "make check: coverage, long tests, then the programs from npm and PyPI (20 minutes)"
	@$(MAKE) --no-print-directory coverage
	@$(PYTEST) -m check $(ARGS)
	@$(MAKE) --no-print-directory e2e

coverage: install  ## Measure what the tests reach of each package: at least 95 %
	@test -n "$(MEASURED)" || $(PYTEST) --cov --cov-report= --quiet
	@for package in client contract fakeproxy; do \
	  $(RUN) coverage report --include "$$package/*" --fail-under 95 || exit; done

e2e: install  ## Prove it with the programs that people use, from npm and PyPI
	@$(RUN) tests.e2e.npm
	@$(RUN) pytest tests/e2e

lowest: install  ## Run the tests with the lowest allowed version of each dependency; needs uv
	@uv venv --quiet --clear --python 3.11 .venv-lowest
	@uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct \
	  --editable '.[contract,fakeproxy,dev]'
	@.venv-lowest/bin/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

snapshot: install  ## Write the answers that the MCP server gives before it is loaded
	@$(RUN) tools.snapshot

bench: install  ## Measure speed and memory beside the least that could do the work
	@$(RUN) tools.bench

lint: install  ## Check format, rules and types
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .
	@said=$$($(BIN)/python $(BIN)/lint-imports --no-logo) || { echo "$$said"; exit 1; }
	@$(RUN) mypy & types=$$!; $(RUN) pyright --pythonpath $(BIN)/python && wait $$types || { wait $$types; exit 1; }

format: install  ## Rewrite the code in the project's format
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix .

clean:  ## Remove the environments and every cache
	@rm -rf .venv .venv-* .venv.lock .cache .mypy_cache .pytest_cache .ruff_cache \
	  .hypothesis .import_linter_cache .coverage
