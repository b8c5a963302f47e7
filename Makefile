# What a newcomer needs: `make book` and `make test`. Everything lands in .venv and book/_build.

PYTHON ?= python3
URL ?=
# With `book`: a folder of PTB-XL whose records every chapter uses instead of the practice set. Not taken from the environment.
DATA =
# With `address`: the branch whose notebooks Colab opens; empty for the one of _config.yml. Not taken from the environment.
BRANCH =
# Which build of PyTorch: empty for the one that the package index serves; or cpu, cu130, … from PyTorch's own index.
TORCH ?=
TORCH_INDEX ?= https://download.pytorch.org/whl/$(TORCH)

VENV := .venv
BIN := $(VENV)/bin
LOG := $(VENV)/install.log
FOR_BOOK := $(VENV)/.book
FOR_TEST := $(VENV)/.test
HTML := book/_build/html
PIP := $(BIN)/python -m pip install --constraint constraints.txt
EVERYTHING := .[book,test]
# As many files of tests, or notebooks, at a time as there are cores; each takes memory, so at most four.
SIDE_BY_SIDE := -n logical --maxprocesses 4 --dist loadfile
# Of each file that changed since the last commit, the test file of every part of its path's name that has one:
# ecgcourse/models/gru.py brings tests/test_models.py. A changed test file brings itself.
CHANGED = { git diff --name-only HEAD; git ls-files --others --exclude-standard; } | \
    awk -F/ '{ print; for (i = 1; i <= NF; i++) { sub(/\.[^.]*$$/, "", $$i); print "tests/test_" $$i ".py" } }' | sort -u | \
    while read -r file; do case "$$file" in tests/test_*.py | tests/*/test_*.py) [ ! -f "$$file" ] || echo "$$file";; esac; done
# pytest as it is, but ended after so many seconds; with the ten that its processes get to stop, that is less than a minute.
SECONDS_OF_TESTS := 45
MOST := import pytest, signal, sys; \
    signal.signal(signal.SIGALRM, lambda *_: pytest.exit("The time is up: not every test ran. make test runs all of them.", 0)); \
    signal.alarm($(SECONDS_OF_TESTS)); sys.exit(pytest.main(sys.argv[1:]))
# $(call step,WHAT,COMMAND) says, where the command fails, at which step, the last of what it printed, and where all of it lies.
step = $(2) >>$(LOG) 2>&1 || { tail -n 15 $(LOG); echo "Installing $(1) failed. \
    All that was printed is in $(LOG); 'How to run it' (book/running.md) says what an installation needs."; exit 1; }

# A backend that somebody exported would take the figures out of the notebooks; the environment's own kernel comes first.
unexport MPLBACKEND
export JUPYTER_PREFER_ENV_PATH := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
ifneq ($(DATA),)
# By its whole path, since notebooks run in another folder than make.
export ECGCOURSE_DATA := $(if $(filter /% ~%,$(DATA)),$(DATA),$(CURDIR)/$(DATA))
endif

.PHONY: book test quick ci notebooks colab pins address clean help

help:
	@echo "make book        install into .venv, write the practice set, execute every notebook, build the book"
	@echo "make book DATA=/path/to/ptb-xl   build it on real records; each page then says what they changed"
	@echo "make test        install into .venv, lint, run the tests, compare every notebook's outputs"
	@echo "make quick       lint, and the tests of what changed since the last commit, for less than a minute"
	@echo "make ci          what CI runs: book, then test, on real records too where some lie beside the checkout"
	@echo "make notebooks   execute every notebook in place, so that the committed outputs are fresh"
	@echo "make colab       execute every notebook in fresh environments: lowest versions, newest ones, Colab's"
	@echo "make pins        write constraints.txt anew after a change of pyproject.toml; a version changes only where it must"
	@echo "make address URL=https://github.com/OWNER/ecgcourse   change the repository's address everywhere"
	@echo "make clean       remove .venv, the built book and caches"
	@echo
	@echo "The first installation can be told PYTHON=/path/to/python3, and TORCH=cpu for PyTorch's smaller build without GPUs."

$(VENV)/.python:
	@command -v $(PYTHON) >/dev/null || \
	    { echo "There is no '$(PYTHON)'. Install Python 3.11 or later, or name one: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or later is needed; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	    echo "'$(PYTHON) -m venv $(VENV)' failed. On Debian and Ubuntu, Python's venv is a package of its own: python3-venv."; exit 1; }
ifneq ($(TORCH),)
	@echo "Installing PyTorch's build '$(TORCH)' into $(VENV)."
	@$(call step,PyTorch from $(TORCH_INDEX),$(PIP) --no-deps --index-url $(TORCH_INDEX) torch)
endif
	@touch $@

$(FOR_BOOK): $(VENV)/.python pyproject.toml constraints.txt
	@echo "Installing the pinned requirements and the package into $(VENV); the first time this takes some minutes."
	@$(call step,the package and what the book needs,$(PIP) --editable ".[book]")
	@touch $@

$(FOR_TEST): $(FOR_BOOK)
	@echo "Installing what the tests need besides into $(VENV)."
	@$(call step,what the tests need,$(PIP) --editable "$(EVERYTHING)")
	@touch $@

# A fresh build folder, so that no page of an earlier build can stand in for a missing one.
book: $(FOR_BOOK)
	@$(BIN)/python tools/records.py
	@rm -rf book/_build
	@$(BIN)/jupyter-book build book/ -W -n --keep-going
	@$(BIN)/python tools/pages.py $(HTML)

# Notebooks that the last build executed as they are now are compared among the tests; nbval executes the others, and
# always the first chapter, so that nbval itself is tried.
test: $(FOR_TEST)
	@$(BIN)/ruff check --quiet --output-format concise .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) --no-loadscope-reorder
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) --nbval book/01_reading_an_ecg.ipynb $$($(BIN)/python tools/notebooks.py new)

# Stops at the first failure, so that the end of its time never hides one.
quick: $(FOR_TEST)
	@$(BIN)/ruff check --quiet --output-format concise .
	@$(BIN)/ruff format --check --quiet .
	@tests="$$($(CHANGED))"; \
	if [ -z "$$tests" ]; then echo "No test file belongs to what changed since the last commit. make test runs all tests."; \
	else $(BIN)/python -c '$(MOST)' --quiet --exitfirst $(SIDE_BY_SIDE) $$tests; fi

ci:
	@bash .ci/run

notebooks: $(FOR_TEST)
	@$(BIN)/python tools/notebooks.py run
	@$(BIN)/python -m tools.routes

colab: $(FOR_TEST)
	@$(BIN)/python -m tools.colab

pins: $(FOR_TEST)
	@$(BIN)/uv pip compile --quiet --universal --no-build --no-annotate --python-version 3.11 --extra book --extra test --extra formats --extra onnx \
	    --extra tensorboard \
	    --custom-compile-command "make pins" --output-file constraints.txt pyproject.toml

address: $(FOR_BOOK)
	@$(BIN)/python tools/address.py "$(URL)" $(BRANCH)

clean:
	rm -rf $(VENV) book/_build build dist *.egg-info .pytest_cache .ruff_cache
