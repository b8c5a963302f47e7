# What a newcomer needs: `make book` and `make test`. Everything lands in .venv and book/_build.

PYTHON ?= python3
URL ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
HTML := book/_build/html

# A backend that somebody exported would take the figures out of the notebooks; the environment's own kernel comes first.
unexport MPLBACKEND
export JUPYTER_PREFER_ENV_PATH := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: book test ci notebooks colab address clean help

help:
	@echo "make book        install into .venv, write the practice set, execute every notebook, build the book"
	@echo "make test        install into .venv, lint, run the tests, compare every notebook's outputs"
	@echo "make ci          what CI runs: book, then test, on real records too where some lie beside the checkout"
	@echo "make notebooks   execute every notebook in place, so that the committed outputs are fresh"
	@echo "make colab       execute every notebook in fresh environments, of the lowest and of the newest versions"
	@echo "make address URL=https://github.com/OWNER/ecgcourse   change the repository's address everywhere"
	@echo "make clean       remove .venv, the built book and caches"

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || \
	    { echo "There is no '$(PYTHON)'. Install Python 3.11 or later, or name one: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or later is needed; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=/path/to/python3"; exit 1; }
	@echo "Installing the pinned requirements and the package into $(VENV); the first time this takes some minutes."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[book,test]"
	@touch $@

# A fresh build folder, so that no page of an earlier build can stand in for a missing one.
book: $(STAMP)
	@if [ -z "$$ECGCOURSE_DATA" ]; then $(BIN)/python -m ecgcourse practice; fi
	@rm -rf book/_build
	@$(BIN)/jupyter-book build book/ -W -n --keep-going
	@$(BIN)/python tools/pages.py $(HTML)

test: $(STAMP)
	@$(BIN)/ruff check --quiet --output-format concise .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/python -m pytest
	@$(BIN)/python -m pytest --nbval book/

ci:
	@bash .ci/run

notebooks: $(STAMP)
	@$(BIN)/python tools/notebooks.py run
	@$(BIN)/python -m tools.routes

colab: $(STAMP)
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[colab]"
	@$(BIN)/python -m tools.colab

address: $(STAMP)
	@$(BIN)/python tools/address.py "$(URL)"

clean:
	rm -rf $(VENV) book/_build build dist *.egg-info .pytest_cache .ruff_cache
