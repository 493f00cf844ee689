# Everything a person needs to type. `make audit` and `make test` set up what they need on a machine that has only
# Python 3.11 to 3.13 and make; the set-up happens once, and again when pyproject.toml or constraints.txt change.
#
#   make audit                                    audit a model on the breast-cancer data, and write a report
#   make test                                     run the tests on TensorFlow
#   make test BACKENDS="tensorflow jax torch"     run them on all three, one after the other
#   make test SLOW=1                              with the slow tests as well
#   make test WORKERS=8                           with eight processes beside each other instead of two

BACKENDS ?= tensorflow
SLOW ?=
ARGS ?=
WORKERS ?= 2
VENV ?= .venv
REPORT ?= reports/breast-cancer

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
LOCKS := pyproject.toml constraints.txt
READY := $(addprefix $(VENV)/.ready-,$(BACKENDS))
DEV := $(VENV)/.ready-dev
FIRST := $(firstword $(BACKENDS))
UNKNOWN := $(filter-out tensorflow jax torch,$(BACKENDS))
QUIET := TF_CPP_MIN_LOG_LEVEL=3

ifneq ($(UNKNOWN),)
$(error BACKENDS may hold tensorflow, jax and torch; got $(UNKNOWN))
endif

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup audit test check format docs bench agreement peers clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  make test BACKENDS="tensorflow jax torch"   runs the tests on all three frameworks'
	@echo '  make test SLOW=1                            runs the slow tests as well'

setup: $(READY) $(DEV) ## make .venv with everything that development needs

audit: $(READY) ## audit a model on real data; ends with the path of the report
	@KERAS_BACKEND=$(FIRST) $(BIN)/pellucid audit breast-cancer --out $(REPORT)

test: $(READY) $(DEV) ## run the tests, one backend a process, in WORKERS of them
	@failed=; for backend in $(BACKENDS); do \
	  echo "== tests on $$backend"; \
	  $(QUIET) KERAS_BACKEND=$$backend FIRST_BACKEND=$(FIRST) $(BIN)/python -m pytest $(if $(SLOW),,-m "not slow") -q -n $(WORKERS) --dist worksteal $(ARGS) \
	    || failed="$$failed $$backend"; \
	done; \
	if [ -n "$$failed" ]; then echo "tests failed on:$$failed"; exit 1; fi

check: $(READY) $(DEV) ## format, lint, types, architecture, docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(QUIET) KERAS_BACKEND=$(FIRST) $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal tests/test_architecture.py tests/test_docs.py

format: $(DEV) ## put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY) $(DEV) ## write docs/reference from the docstrings
	$(QUIET) KERAS_BACKEND=$(FIRST) $(BIN)/python docs/generate.py

bench: $(READY) $(DEV) ## time the methods beside the bare model and the peers
	$(QUIET) KERAS_BACKEND=$(FIRST) $(BIN)/python -m benchmarks.run $(ARGS)

agreement: $(addprefix $(VENV)/.ready-,tensorflow jax torch) $(DEV) ## compare every number with the peers', on all three frameworks
	sh benchmarks/peers.sh $(BIN)/python torch
	$(BIN)/python -m benchmarks.agreement $(ARGS)

peers: | $(BIN)/python ## make the environments with the libraries that the benchmarks compare with
	sh benchmarks/peers.sh $(BIN)/python

clean: ## remove reports and caches, keep the environment
	rm -rf reports dist .pytest_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The first Python that runs and is new enough; names can exist and not run, so each is tried.
$(VENV)/bin/python:
	@for name in $(PYTHON) python3.11 python3.12 python3.13 python3 python; do \
	  if "$$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1; then \
	    echo "setting up $(VENV) with $$name: once, for some minutes"; \
	    "$$name" -m venv $(VENV) && exit 0; \
	    echo "$$name could not make a virtual environment; on Debian and Ubuntu: apt install python3-venv"; \
	    rm -rf $(VENV); exit 1; \
	  fi; \
	done; \
	echo "Pellucid needs Python 3.11, 3.12 or 3.13 and found none; name one: make PYTHON=/path/to/python3.11 ..."; \
	exit 1

$(VENV)/.ready-%: $(LOCKS) | $(VENV)/bin/python
	@echo "installing pellucid[$*]"
	@$(PIP) -e ".[$*]"
	@touch $@
