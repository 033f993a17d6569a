# Two commands on a fresh clone, with nothing but Python, make and a network:
#   make lab    open JupyterLab on the notebooks
#   make test   run every check that CI runs

PYTHON ?=
LAB_ARGS ?=
PYTEST_ARGS ?=
WORKERS ?= auto
BENCH_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NOTEBOOKS := $(wildcard notebooks/*.ipynb)

# Jupyter refuses root, which is who one is in a container, unless told.
ALLOW_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help lab test lint bench mutants clean

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 14

lab: $(STAMP) ## open JupyterLab on notebooks/ (more options: LAB_ARGS="--no-browser --port 8899")
	$(BIN)/python -m jupyterlab --notebook-dir=notebooks $(ALLOW_ROOT) $(LAB_ARGS)

# One process for each core; a file's tests stay together. pytest comes last: its closing line ends the output.
test: lint ## run everything that CI runs (part of it: .venv/bin/pytest tests/test_bus.py)
	@$(BIN)/python -m pytest --cov --numprocesses=$(WORKERS) --dist=loadfile $(PYTEST_ARGS)

lint: $(STAMP) ## ruff, mypy, import floors, notebook rules
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m tests.notebook_rules notebooks
	$(if $(NOTEBOOKS),$(BIN)/nbstripout --verify --keep-count --keep-id --extra-keys "metadata.language_info" $(NOTEBOOKS))

bench: $(STAMP) ## measure publishing and frames, in some minutes (sooner: BENCH_ARGS=--quick)
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

# Two at a time and nicely: it takes some forty minutes in which people work on. What it finds is committed.
mutants: $(STAMP) ## break the core in two thousand ways, and tell which of them no test notices (docs/mutants.md)
	rm -rf mutants
	nice -n 10 $(BIN)/mutmut run --max-children 2
	$(BIN)/python -m tests.mutants docs/mutants.md

clean: ## remove the virtual environment, builds and caches
	rm -rf $(VENV) build dist mutants .coverage .coverage.* htmlcov .hypothesis .import_linter_cache
	rm -rf .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@python="$(PYTHON)"; \
	if [ -z "$$python" ]; then \
	  for candidate in python3 python3.13 python3.12 python3.11 python; do \
	    if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$candidate; break; fi; \
	  done; \
	fi; \
	if [ -z "$$python" ] || ! "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
	  echo "atlas_lab needs Python 3.11 or newer, and $${python:-python3} is not: try make PYTHON=/path/to/python3.11" >&2; \
	  exit 1; \
	fi; \
	$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || "$$python" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet -e '.[lab,atlas,test,bench,dev]' -c constraints.txt
	@touch $@
