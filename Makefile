# `make demo` and `make test` need only Python 3.11, git and make; each sets up .venv by itself.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PEERS  := $(VENV)/.peers

.DEFAULT_GOAL := help
.PHONY: help demo test soak quick lint simulate conformance compatibility bench-cpu bench sizes clean

help:   ## this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	$(BIN)/python -m compileall -q elastic
	touch $(STAMP)

$(PEERS): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,peers]'
	touch $(PEERS)

demo: $(STAMP)   ## train on four workers, kill one, add one, compare the final bits
	$(BIN)/python examples/demo.py

test: $(STAMP) lint   ## lint, types, layers and every test
	$(BIN)/python -m pytest -n auto
	$(BIN)/python -m pytest --all --timeout 300 -m "(etcd or e2e or simulation) and not soak"
	$(BIN)/python -m pytest --timeout 600 examples

soak: $(STAMP)   ## 200 random faults against real jobs, about ten minutes (MINUTES=30: longer)
	$(BIN)/python -u tests/e2e/soak.py --minutes $(or $(MINUTES),10)
	$(BIN)/python -m pytest --all --timeout 300 -m soak

quick: $(STAMP)   ## the quick tier: about a minute, no etcd, no processes
	$(BIN)/python -m pytest -n auto

lint: $(STAMP)   ## ruff, mypy and the contracts between the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

conformance: $(PEERS)   ## PyTorch's own operator database and documented programs against ours
	$(BIN)/python -m tests.conformance
	$(BIN)/python -m tests.conformance.compatibility --check

compatibility: $(PEERS)   ## write docs/compatibility.md anew
	$(BIN)/python -m tests.conformance.compatibility

bench-cpu: $(PEERS)   ## the same jobs on PyTorch and on ours (installs the extra `peers`)
	$(BIN)/python benchmarks/cpu.py

simulate: $(STAMP)   ## 5,000 jobs in virtual time under faults drawn from seeds
	$(BIN)/python -m elastic.testing.simulation --seeds 0:5000

bench: $(PEERS)   ## every table of benchmarks/, beside PyTorch, torchrun and torchft
	$(BIN)/python benchmarks/recovery.py
	$(BIN)/python benchmarks/outage.py
	$(BIN)/python benchmarks/join.py
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/scale.py

sizes: $(STAMP)   ## functions and files that outgrow a screen
	$(BIN)/python tests/sizes.py

clean:   ## remove the environment and caches
	rm -rf $(VENV) build dist *.egg-info .ruff_cache .mypy_cache .import_linter_cache
