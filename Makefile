# make run: set everything up and open the explorer; where there is no terminal, measure.
# make test: the tests.   make test-gpu: those that need a GPU.   make check: style, types, import contracts.
PYTHON ?= python3
# Options of `ckpt-tui explore` and `ckpt-tui run`, for example: make run ARGS="--storage /mnt/nvme --repeats 5"
ARGS ?=
PIP_INSTALL = .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
STAMP := $(shell date +%Y%m%d-%H%M%S)

.PHONY: run test test-gpu check format clean

run: .venv/installed
	@if [ -t 0 ] && [ -t 1 ]; then .venv/bin/ckpt-tui explore $(ARGS); else \
		mkdir -p results && \
		.venv/bin/ckpt-tui run --export results/$(STAMP).csv --export results/$(STAMP).png $(ARGS); fi

test: .venv/installed-dev
	.venv/bin/pytest --numprocesses 2 --dist worksteal

test-gpu: .venv/installed-dev
	.venv/bin/pytest -m gpu

check: .venv/installed-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format: .venv/installed-dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing into .venv (torch alone takes a few minutes the first time) ..."
	$(PIP_INSTALL) --editable .
	touch $@

.venv/installed-dev: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing with development tools into .venv ..."
	$(PIP_INSTALL) --editable '.[dev]'
	touch $@ .venv/installed
