# What this project can be told to do. `make` alone prints the list; only Python 3.11 or newer, pip and make are needed.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
# More words for the command behind a target: make up ARGS="--no-flower --port 9000", make test ARGS="-k ledger -x"
ARGS ?=
# Processes that run the tests: they wait for others half of the time
JOBS ?= 3
# Where Celery's own integration suite is.
CELERY_SUITE ?= ../shared/celery-suite
# The Python to begin with. Empty: the first of these that is new enough.
PYTHON ?=
PYTHONS := python3.11 python3 python3.12 python3.13 python3.14 python

# Compiled modules are kept: tests start hundreds of processes, and each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help up test check fix bench bench-quick bench-loop bench-history bench-console screenshots celery-suite faults soak clean

help: ## Print this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo 'More words for the command: make up ARGS="--port 9000", make test ARGS="-k ledger -x"'

up: $(VENV)/installed-demo ## Install what is missing, then run everything: server, API, worker, Flower
	@exec $(BIN)/backyard up $(ARGS)

test: $(VENV)/installed-dev $(VENV)/installed-lighthouse check ## Install what is missing, then check and test everything
	@exec $(BIN)/pytest -n $(JOBS) --dist worksteal $(ARGS)

check: $(VENV)/installed-dev ## Check style, types, import rules, Dockerfile and compose.yaml
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml

fix: $(VENV)/installed-dev ## Format the code, repair what can be repaired, renew the generated parts of the docs
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python tests/project/blocks.py

bench: $(VENV)/installed-dev ## Measure Backyard beside its peers, which it installs in .bench: half an hour
	@exec $(BIN)/python -m benchmarks.bench $(ARGS)

bench-quick: $(VENV)/installed-dev ## The same beside a hand-wired stack only: three minutes
	@exec $(BIN)/python -m benchmarks.bench --quick $(ARGS)

bench-loop: $(VENV)/installed-dev ## Measure how long requests block the API's event loop
	@exec $(BIN)/python benchmarks/loop_blocking.py $(ARGS)

bench-history: $(VENV)/installed-dev ## Make a history of a million tasks, and measure questions and recording: ten minutes
	@exec $(BIN)/python -m benchmarks.history $(ARGS)

bench-console: $(VENV)/installed-dev ## Measure the console with a million tasks of history: ten minutes
	@PYTHONPATH=tests exec $(BIN)/python -m benchmarks.console $(ARGS)

screenshots: $(VENV)/installed-dev ## Take the pictures of the console in the documents anew
	@exec $(BIN)/python tests/project/screenshots.py

celery-suite: $(VENV)/installed-dev ## Run Celery's own integration suite on our transport and backend: half an hour
	@PYTHONPATH=tests exec $(BIN)/python tests/celery_suite/run.py $(CELERY_SUITE) .celery-suite $(ARGS)

faults: $(VENV)/installed-dev ## Break everything there is to break, and put the table into the README: half an hour a seed
	@PYTHONPATH=tests exec $(BIN)/python -m faults $(ARGS)

soak: $(VENV)/installed-dev ## Break things at random for an hour: ARGS="--soak MINUTES --seed SEED"
	@PYTHONPATH=tests exec $(BIN)/python -m faults --soak 60 $(ARGS)

clean: ## Remove the virtual environment, caches and builds; your data in .backyard stays
	rm -rf $(VENV) .bench .lighthouse .celery-suite build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests examples benchmarks -name __pycache__ -type d -exec rm -rf {} +

# A stamp is as old as the last installation: a change of pyproject.toml or constraints.txt makes the next one due.

$(VENV)/installed-demo: $(VENV)/created pyproject.toml constraints.txt
	@echo 'Installing Backyard and what its demo needs ...'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo]' -c constraints.txt
	@touch $@

$(VENV)/installed-dev: $(VENV)/created pyproject.toml constraints.txt
	@echo 'Installing Backyard and what its tests need ...'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	@touch $(VENV)/installed-demo $@

$(VENV)/installed-lighthouse: $(VENV)/installed-dev tests/support/lighthouse.py
	@echo 'Installing Lighthouse, which looks at the console ...'
	@PYTHONPATH=tests $(BIN)/python -c 'from support.lighthouse import installed; installed()'
	@touch $@

$(VENV)/created:
	@for python in $(PYTHON) $(PYTHONS); do \
	    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "Creating $(VENV) with $$("$$python" --version) ..."; \
	        "$$python" -m venv $(VENV) && touch $@ && exit 0; \
	        echo "$$python could not create $(VENV); on Debian and Ubuntu, install the package python3-venv." >&2; \
	        exit 1; \
	    fi; \
	done; \
	echo 'No Python 3.11 or newer was found. Install one, or name it: make up PYTHON=/path/to/python3.11' >&2; \
	exit 1
