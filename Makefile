# Everything starts here; Python, make and git are all it needs.
#
#   make demo     the main job, on real data
#   make test     the tests
#   make check    lint, types, and the tests with their coverage
#   make torture  the fault tests at every point instead of a sample; takes minutes
#   make bench    compare with other stores: BENCH="--quick" takes two minutes, "--million" an hour
#   make bench-report   the same, and write the figures into docs/performance.md
#   make readme   run the examples in README.md and docs/ and update their output
#   make clean    remove what these made
#
# Whatever runs first sets up .venv, and so does a change of pyproject.toml.

VENV := .venv
BIN := $(VENV)/bin
PYTHONS := python3 python3.13 python3.12 python3.11
SUPPORTED := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))

# The first interpreter that will do; `make PYTHON=…` names another.
PYTHON ?= $(shell for python in $(PYTHONS); do \
	$$python -c '$(SUPPORTED)' >/dev/null 2>&1 && echo $$python && break; done)

# What .venv was set up for. Written last, so an interrupted setup does not count.
READY := $(VENV)/ready
STATE := { pwd; cat pyproject.toml; }

# What runs pytest: nothing in between, or coverage.
TRACE :=

.PHONY: help demo test torture bench bench-report check lint types coverage report readme clean ready install

help:
	@sed -n 's/^#   make/make/p' Makefile

demo: ready
	@$(BIN)/python examples/demo.py

test: ready
	@$(BIN)/python $(TRACE) -m pytest

torture: ready
	@$(BIN)/python -m pytest --torture tests/faults

# Further arguments of the benchmark, and whether the page about it is written.
BENCH :=
REPORT :=

# The stores to compare with are installed at the first run; nothing else needs them.
bench: ready
	@test -e $(VENV)/bench || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $(VENV)/bench
	@$(BIN)/python -m benchmarks $(BENCH) $(REPORT)

bench-report: REPORT := --report
bench-report: bench

check: lint types coverage

lint: ready
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .

types: ready
	@$(BIN)/python -m mypy

coverage: ready
	@$(BIN)/python -m coverage erase
	@$(MAKE) --no-print-directory test TRACE="-m coverage run"
	@$(MAKE) --no-print-directory report

report: ready
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage report

readme: ready
	@$(BIN)/python tests/documentation.py README.md
	@$(BIN)/python tests/documentation.py docs/testing.md

clean:
	rm -rf $(VENV) demo-data* .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis dist

ready:
	@test -x $(BIN)/python && $(STATE) | cmp -s - $(READY) 2>/dev/null || \
		$(MAKE) --no-print-directory install

install:
	@$(or $(PYTHON),false) -c '$(SUPPORTED)' || { \
		echo "FileStore needs Python 3.11, 3.12 or 3.13 with its venv module: put one on the PATH,"; \
		echo "or name it: make PYTHON=/path/to/python"; exit 1; } >&2
	@echo "Setting up $(VENV) with $$($(PYTHON) --version). This takes a minute, and happens once."
	@rm -f $(READY)
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,demo]'
	@$(STATE) > $(READY)
