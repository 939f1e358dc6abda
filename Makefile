# Homeostat needs Python 3.11 (or newer) and make. `make` alone lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/sh

PYTHON ?= $(shell command -v python3.11 || command -v python3 || command -v python)
VENV   := .venv
PY     := $(VENV)/bin/python
READY  := $(VENV)/.ready
PEERS  := .venv-peers
TORCH  := .venv-torch
CLIENTS := .venv-clients
# Each server has an environment of its own: they do not agree on the versions of what they share.
SERVING := fastapi litserve mlserver mlflow bentoml
PIP    := -m pip -qq --disable-pip-version-check
WORKERS ?= 2
# As many processes as cores: more threads than that only wait for each other.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

help: ## this list
	@echo "Homeostat: keeps machine-learning models at their set point."
	@echo
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | \
		while IFS="$$(printf '\t')" read -r name text; do printf '  make %-17s %s\n' "$$name" "$$text"; done

demo: $(READY) ## a year of flights through the whole closed loop, on this machine (3 minutes)
	$(PY) -m homeostat demo

test: $(READY) ## every test but the slow and the long ones and those of `check`, on WORKERS processes (default 2)
	$(ONE_THREAD) $(PY) -m pytest -n $(WORKERS) --dist=loadfile --no-loadscope-reorder -m "not slow and not crash and not long" tests \
		--ignore=tests/docs --ignore=tests/structure

test-slow: $(READY) ## the tests that run whole loops or kill processes (three minutes)
	$(ONE_THREAD) $(PY) -m pytest -n $(WORKERS) --dist=loadfile --no-loadscope-reorder -m "(slow or crash) and not long" tests

test-long: $(READY) $(CLIENTS)/.ready ## the tests that take minutes: a thousand kills, swaps under load, fuzzing, other people's clients
	$(PY) -m pytest -m long tests
	$(PY) -m pytest tests/tables --tables 1000

test-torch: $(TORCH)/.ready ## networks of PyTorch, in an environment of their own (2 GB)
	$(TORCH)/bin/python -m pytest tests/ci/train/test_train_torch.py

mutants: $(READY) ## plausible slips, set into the code one by one: how many do the tests notice? (ONLY="--room core" for some)
	$(PY) tools/mutants.py -j $(WORKERS) $(ONLY)

check: $(READY) ## style, types, floors, structure and documents
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache
	$(PY) -m pytest -q tests/structure tests/docs

format: $(READY) ## rewrite the sources in the one format, and mend what can be mended
	$(VENV)/bin/ruff check --fix --exit-zero --quiet .
	$(VENV)/bin/ruff format .

estimators: $(READY) ## write the table of docs/models.md by training every estimator of scikit-learn (a minute)
	$(PY) -W ignore tools/estimators.py

capabilities: $(READY) ## write docs/capabilities.md from the table and the acceptance tests
	$(PY) tools/capabilities.py

bench: bench-startup bench-demo bench-pipeline bench-serve bench-drift bench-judge bench-train bench-online ## every benchmark

bench-startup: $(READY) ## import and --help in milliseconds, beside a bare Python
	$(PY) benchmarks/startup.py

bench-demo: $(READY) ## the demo's year against what it must show: gain, broken candidates, seconds
	$(PY) benchmarks/demo.py

bench-pipeline: $(READY) $(PEERS)/.ready ## the pipeline engine beside plain functions, Kedro and Dagster
	$(PY) benchmarks/pipeline.py --peers $(PEERS)/bin/python

bench-serve: $(READY) $(SERVING:%=$(PEERS)-%/.ready) ## the server beside its peers: rates, memory, swaps, log, shadows (10 minutes)
	$(PY) -m benchmarks.serving --peers $(PEERS)

bench-drift: $(READY) ## drift alarms on columns that do not drift, beside the common rules
	$(PY) benchmarks/drift.py

bench-judge: $(READY) ## right and wrong verdicts of the judge over simulated canaries
	$(PY) benchmarks/judge.py

bench-train: $(READY) ## training, proving, storing and evaluating a model beside scikit-learn's fit alone
	$(PY) benchmarks/train.py

bench-online: $(READY) ## exact per-row learning beside scikit-learn's partial_fit and, if installed, River
	$(PY) benchmarks/online.py

install: $(READY) ## create .venv with pinned versions (the other targets do this by themselves)

constraints: ## resolve all dependencies afresh and pin every version in constraints.txt
	rm -rf .venv-resolve
	$(PYTHON) -m venv .venv-resolve
	.venv-resolve/bin/python $(PIP) install --upgrade pip
	.venv-resolve/bin/python $(PIP) install -e '.[demo,dev,build,hooks]'
	.venv-resolve/bin/python tools/pin.py > constraints.txt
	rm -rf .venv-resolve

hooks: $(READY) ## run the quick checks before every commit (installs pre-commit)
	$(PY) $(PIP) install -c constraints.txt -e '.[hooks]'
	$(VENV)/bin/pre-commit install

clean: ## remove the environments, the caches, the default store and demos
	rm -rf $(VENV) $(PEERS) $(PEERS)-* $(TORCH) $(CLIENTS) .venv-resolve .homeostat homeostat-demo* .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed"; echo "hint: make PYTHON=/path/to/python3.11"; exit 2; }
	@echo "installing into $(VENV) (once; a minute or two)"
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PY) $(PIP) install -c constraints.txt hatchling editables setuptools wheel
	@$(PY) $(PIP) install -c constraints.txt --no-build-isolation -e '.[demo,dev]'
	@touch $@

$(PEERS)/.ready: benchmarks/peers.txt
	@echo "installing the peers into $(PEERS) (once)"
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python $(PIP) install -r benchmarks/peers.txt
	@touch $@

$(PEERS)-%/.ready: benchmarks/peers/%.txt
	@echo "installing $* into $(PEERS)-$* (once)"
	@test -x $(PEERS)-$*/bin/python || $(PYTHON) -m venv $(PEERS)-$*
	@$(PEERS)-$*/bin/python $(PIP) install -r $<
	@touch $@

$(TORCH)/.ready: pyproject.toml constraints.txt
	@echo "installing PyTorch and the rest into $(TORCH) (once)"
	@test -x $(TORCH)/bin/python || $(PYTHON) -m venv $(TORCH)
	@$(TORCH)/bin/python $(PIP) install -c constraints.txt hatchling editables
	@$(TORCH)/bin/python $(PIP) install -c constraints.txt --no-build-isolation -e '.[dev,torch]'
	@touch $@

$(CLIENTS)/.ready: tests/clients/requirements.txt
	@echo "installing other people's clients into $(CLIENTS) (once)"
	@test -x $(CLIENTS)/bin/python || $(PYTHON) -m venv $(CLIENTS)
	@$(CLIENTS)/bin/python $(PIP) install -r tests/clients/requirements.txt
	@touch $@

.PHONY: help demo test test-slow test-long test-torch mutants check format estimators capabilities bench bench-startup bench-demo bench-pipeline bench-serve bench-drift bench-judge bench-train bench-online \
	install constraints hooks clean
