# Only Python (3.11 or newer) and make are needed. `make help` lists what can be made.
# Every path is relative, so that the checkout may lie anywhere, also below a folder with spaces.

PYTHON ?= python3
# One process more than two cores can serve: many checks wait for a browser or for a notebook to start.
JOBS ?= 3
BIN := .venv/bin
ENVIRONMENT := .venv/.complete
PEERS := .venv-benchmarks
NOTEBOOKS := $(wildcard notebooks/*.ipynb)

.DEFAULT_GOAL := help
.PHONY: help book pdf test lint notebooks notebook slides benchmarks timings browser lock environment clean distclean FORCE

help: ## list what can be made
	@echo "make <target>, where <target> is one of"
	@sed -n 's/^\([a-z]*\):.*## /  \1|/p' Makefile | awk -F'|' '{ printf "%-14s%s\n", $$1, $$2 }'
	@echo "PYTHON=python3.12 chooses another interpreter for the environment, JOBS=8 more processes."

book: $(ENVIRONMENT) ## render the book from the committed notebooks into _build/html
	@rm -rf _build/html _build/jupyter_execute _build/.doctrees && mkdir -p _build
	@$(BIN)/jupyter-book build . -W -n --keep-going --quiet >_build/log 2>&1 || { cat _build/log; exit 1; }
	@echo "The book is built. Open"
	@echo "  $(CURDIR)/_build/html/index.html"

pdf: $(ENVIRONMENT) browser ## print the whole book into _build/book.pdf, with Chromium
	@$(BIN)/python -c 'import sys; from scripts.pdf import missing; sys.exit(missing())'
	@mkdir -p _build
	@$(BIN)/jupyter-book build . --builder singlehtml --path-output _build/pdf -W -n --keep-going --quiet >_build/pdf.log 2>&1 \
	  || { cat _build/pdf.log; exit 1; }
	@$(BIN)/python scripts/pdf.py _build/pdf/_build/singlehtml/index.html _build/book.pdf
	@echo "The book is printed into _build/book.pdf"

test: lint browser ## run everything that continuous integration checks
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --durations 10

lint: $(ENVIRONMENT) ## check style, formatting and types
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m mypy metalib companion scripts

notebooks: $(ENVIRONMENT) ## execute all notebooks again, in place
	@printf '%s\n' $(NOTEBOOKS) | xargs -n 1 -P $(JOBS) $(BIN)/python scripts/notebooks.py execute
	@$(BIN)/python scripts/notebooks.py picture notebooks/sine.ipynb fig-sine-curves book/_static/figure-1.png

notebook: $(ENVIRONMENT) ## run one with other parameters: NB=notebooks/sine.ipynb ARGS="-p seed 3 -p device cuda"
	@test -n "$(NB)" || { echo 'Name a notebook: make notebook NB=notebooks/sine.ipynb ARGS="-p seed 3"' >&2; exit 2; }
	@$(BIN)/python scripts/notebooks.py run "$(NB)" $(ARGS)

slides: $(ENVIRONMENT) ## draw the key figures for slides, 16:9 with large type, into _build/slides
	@$(BIN)/python -m companion.slides _build/slides

benchmarks: $(PEERS)/.complete ## time metalib beside higher, TorchOpt, torch.func, plain loops and JAX
	@$(PEERS)/bin/python -m benchmarks.peers $(ARGS)

timings: $(ENVIRONMENT) ## time metalib's parts against plain loops
	@set -e; for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python "$$file"; done

browser: ## look for the browser that the tests open the pages with; on a CI machine, install it
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do \
	  if command -v $$name >/dev/null; then echo "Browser: $$name"; exit 0; fi; \
	done; \
	if [ "$(CI)" = true ] && [ "$$(id -u)" = 0 ] && [ -e /etc/debian_version ]; then \
	  apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium; \
	else \
	  echo "No Chromium or Chrome found by name: unless one is elsewhere, tests that open the pages are skipped (fail, if CI=true)."; \
	fi

lock: $(ENVIRONMENT) ## resolve requirements.in into requirements.txt; ARGS=--upgrade takes the newest versions
	@cp requirements.txt .requirements.lock
	@UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --no-config --quiet --universal \
	  --python-version 3.11 --annotation-style line $(ARGS) requirements.in -o .requirements.lock
	@grep -v -E '^(cuda-|nvidia-|triton=)' .requirements.lock >.requirements.new
	@mv .requirements.new requirements.txt && rm .requirements.lock
	@echo "requirements.txt is up to date; the next make installs it."

environment: $(ENVIRONMENT) ## set up .venv, without anything else

clean: ## remove what was built; keep .venv and the results in runs
	@rm -rf _build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv*/*' -prune -exec rm -rf {} +

distclean: clean ## remove .venv too, for instance to choose another PYTHON
	@rm -rf .venv $(PEERS)

# The environment says, as the very last step of its making, where it was made. One that was interrupted, moved,
# or has lost its interpreter does not say so, and is made anew; one that is merely out of date is brought up to date.
ifneq ($(shell $(BIN)/python -c 'print(open("$(ENVIRONMENT)").read(), end="")' 2>/dev/null),$(CURDIR))
ANEW := --clear
$(ENVIRONMENT): FORCE
endif

$(ENVIRONMENT): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "This needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another interpreter: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@rm -f $(ENVIRONMENT)
	@echo "Setting up .venv from requirements.txt; the first time this takes a few minutes."
	@$(PYTHON) -m venv $(ANEW) .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-build-isolation --no-deps -e .
	@$(BIN)/python -c 'import os; print(os.getcwd(), end="")' >.venv/.making && mv .venv/.making $(ENVIRONMENT)

# The libraries that metalib is timed beside, in an environment of their own: nothing else needs them.
$(PEERS)/.complete: benchmarks/requirements.txt pyproject.toml
	@echo "Setting up $(PEERS) from benchmarks/requirements.txt; this takes a few minutes."
	@$(PYTHON) -m venv --clear $(PEERS)
	@$(PEERS)/bin/python -m pip install -qq --disable-pip-version-check -r benchmarks/requirements.txt
	@$(PEERS)/bin/python -m pip install -qq --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@
