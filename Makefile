# On a fresh machine with Python 3.11: `make demo`, `make test`.
PYTHON ?= python3.11
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
RUN = $(VENV)/bin

# Whole files go to one process, and all tests of Ray to the same one: see tests/conftest.py.
PYTEST = $(RUN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder
TEST_PROCESSES ?= 2

.PHONY: help install demo test test-all test-ray check lint types imports docs format bench clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

install: $(VENV)/.installed  ## create the virtual environment and install the package

$(VENV)/.installed: pyproject.toml $(CONSTRAINTS)
	test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --upgrade pip
	$(RUN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[dev]'
	touch $@

demo: install  ## attack, purify and evaluate a real encoder, in about three minutes
	$(RUN)/mimic-ray demo

test: install  ## run the tests that every change must pass
	$(PYTEST) -m 'not slow and not gpu'

test-all: install  ## run all tests, the slow ones too
	$(PYTEST) -m 'not timing'
	$(RUN)/python -m pytest -m timing

test-ray: install  ## run the tests that start Ray
	$(RUN)/python -m pytest -m ray

check: lint types imports docs  ## check format, lint, types, import directions and documentation

lint: install  ## check format and lint
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .

types: install  ## check types
	$(RUN)/mypy

imports: install  ## check import directions
	$(RUN)/lint-imports

docs: install  ## build the documentation site into site/
	NO_MKDOCS_2_WARNING=1 $(RUN)/python -m mkdocs build --quiet --strict

format: install  ## format the code
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

bench: install  ## compare speed with other implementations, and plans with real steps
	$(RUN)/python -m benchmarks.training_step
	$(RUN)/python -m benchmarks.mi_profile
	$(RUN)/python -m benchmarks.image_loading
	$(RUN)/python -m benchmarks.augmentation
	$(RUN)/python -m benchmarks.batch_norm
	$(RUN)/python -m benchmarks.plan_accuracy

clean:  ## remove the environment and all build results
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache
