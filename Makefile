# Two commands do it all on a fresh machine: `make demo` shows it, `make test` proves it.
BIN := .venv/bin
SDK := .cache/agent-sandbox
.DEFAULT_GOAL := help
.PHONY: help install demo fake contract mutants test e2e bench sdk lint format clean

help:  ## Say what each target does
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install:  ## Set up .venv with uv, or with venv and pip; skipped when nothing changed
	@sh client/launch --extras contract,fakeproxy,dev

demo: install  ## Create, prompt, pause, resume and delete a sandbox, offline, in seconds
	@$(BIN)/python -m tools.demo

fake: install  ## Serve the fake proxy on 127.0.0.1:8080 until Ctrl-C
	@exec $(BIN)/sandbox-fakeproxy serve

# What is given to make as NAME=VALUE reaches the command by its environment, keys too.
contract: install  ## Judge the fake by the contract, or the proxy at PROXY_URL with ADMIN_API_KEY
	@if [ -n "$(PROXY_URL)" ]; then exec $(BIN)/sandbox-contract run $(ARGS); \
	  else exec $(BIN)/python -m tests.contract $(ARGS); fi

mutants: install  ## Change the fake's source here and there, and count what the contract notices
	@$(BIN)/python -m tests.mutation

# The contract judges whole fakes, hundreds of times: to count the lines that this runs takes thrice
# as long, and the fake's own tests run all of them.
test: install lint  ## Lint, then run every test
	@$(BIN)/python -m pytest --cov --ignore tests/contract --ignore tests/e2e
	@$(BIN)/python -m pytest tests/contract

e2e: install sdk  ## Prove it with the programs that people use, from npm and PyPI
	@$(BIN)/python -m tests.e2e.npm
	@$(BIN)/python -m pytest tests/e2e

bench: install  ## Measure speed and memory beside the least that could do the work
	@$(BIN)/python -m tools.bench

# The public client of the runtime's API, against which the fake is tested. It declares a cloud's whole
# SDK, half a gigabyte that it never imports: so without what it declares.
sdk: install  ## Fetch the public client of the runtime, which the tests use
	@test -d $(SDK) || $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --no-deps --target $(SDK) 'agent-sandbox>=0.0.30'

lint: install sdk  ## Check format, rules and types
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m mypy
	@$(BIN)/python -m pyright

format: install  ## Rewrite the code in the project's format
	@$(BIN)/python -m ruff format .
	@$(BIN)/python -m ruff check --fix .

clean:  ## Remove the environment and every cache
	@rm -rf .venv .venv.lock .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
