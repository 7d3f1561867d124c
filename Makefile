# Every target sets up what it needs. `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Without bytecode every command compiles what it imports anew, PyTorch included: many seconds, each time.
unexport PYTHONDONTWRITEBYTECODE

PROFILE ?= quick
CHAPTERS ?=
# How many chapters are executed at a time (all cores otherwise); AGAIN=1 executes also those that were kept.
JOBS ?=
AGAIN ?=
HOW = $(if $(JOBS),--jobs $(JOBS)) $(if $(AGAIN),--again) $(CHAPTERS)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The first interpreter that starts and has a version for which the packages are pinned; PYTHON=/path/to/python names another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1 && { echo $$p; break; }; done)
# -n: references that lead nowhere; -W: warnings are errors; --all: every page is read anew, so none stays hidden.
# Pages of an earlier build are removed first: the tests of the site would take them for part of the book.
BUILD := rm -rf _build/html && $(BIN)/jupyter-book build . --all -n -W --keep-going -q >/dev/null
INTRIGUING := $(BIN)/python -m intriguing
PIP = $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input

# Debian's packages for `make pdf`.
TEX := texlive-xetex texlive-latex-extra texlive-fonts-recommended tex-gyre fonts-freefont-otf latexmk xindy

.PHONY: help setup run test book pdf paper record fetch spread bench growth gpu mutants faults sync status welcome lab browser types \
	coverage test-oldest test-newest links audit lock clean

help: ## List the targets
	@printf 'Targets (PROFILE=quick|paper, CHAPTERS="units density" for some of them, JOBS=2, AGAIN=1):\n'
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: $(READY) ## Create .venv and install everything, once

# requirements.txt holds every package with its hashes: pip refuses a file that is not the one that was locked, and
# looks for nothing else (--no-deps). The package itself is built with the setuptools that was just installed. At the end
# pip checks that nothing is missing.
$(READY): requirements.txt pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
		echo "This book needs Python 3.11 to 3.13, and none was found on the PATH. Install one," \
			"or name it: make setup PYTHON=/path/to/python3.12" >&2; exit 1; fi
	@"$(PYTHON)" -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 14) else \
		f"This book needs Python 3.11 to 3.13; {sys.executable} is {v[0]}.{v[1]}: name another one with PYTHON=.")'
	@if [ ! -x $(BIN)/python ]; then echo "Creating $(VENV) with $$("$(PYTHON)" --version)"; "$(PYTHON)" -m venv $(VENV); fi
	@echo "Installing the pinned packages (torch is large: a few minutes on a slow line)"
	@$(PIP) install --no-compile --no-deps --require-hashes -r requirements.txt
	@$(PIP) install --no-compile --no-deps --no-build-isolation -e .
	@$(BIN)/python -m pip check
	@echo "Compiling them, once"
	@# A file or two are written for a newer Python and cannot be compiled; nothing imports them.
	@$(BIN)/python -m compileall -qq -j 0 $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') || true
	@touch $@

run: $(READY) ## Execute every chapter here and now, build the executed book, show the score
	@$(INTRIGUING) run --profile $(PROFILE) $(HOW)

# Each part runs even when an earlier one failed, so that one run shows all that is wrong. pytest comes last,
# because its browser tests read the book that was just built, beside the checks of style. It works in three
# processes, one file at a time in each, with one thread of arithmetic; the longest files are first. On two cores the
# third has work while another waits for a browser, a kernel or a signal. Weights are shared by the chapters in a cache
# of their own, so that a test neither uses nor fills the reader's.
test: $(READY) ## Style, book build with warnings as errors, unit tests, chapters under nbval, the guard
	@failed=""; \
	echo "jupyter-book build -n -W --keep-going"; { $(BUILD); } & building=$$!; \
	echo "ruff"; $(BIN)/ruff check . || failed="$$failed ruff"; \
	echo "deptry"; $(BIN)/deptry src || failed="$$failed deptry"; \
	echo "import-linter"; $(BIN)/lint-imports --no-logo || failed="$$failed import-linter"; \
	wait $$building || failed="$$failed build"; \
	export INTRIGUING_CACHE="$${INTRIGUING_CACHE:-$(CURDIR)/_build/cache}" INTRIGUING_PROFILE=quick; \
	export OMP_NUM_THREADS="$${OMP_NUM_THREADS:-1}"; \
	unset INTRIGUING_RECORD; \
	$(BIN)/python -m pytest -n $(or $(JOBS),3) --dist loadfile --no-loadscope-reorder \
		--nbval-lax --nbval-current-env --nbval-cell-timeout 600 --nbval-kernel-startup-timeout 180 tests notebooks \
		|| failed="$$failed pytest"; \
	if [ -n "$$failed" ]; then echo "FAILED:$$failed" >&2; exit 1; fi

book: $(READY) ## Publish the stored, paper-scale outputs to _build/html
	@$(BUILD)
	@echo "The book: file://$(CURDIR)/_build/html/index.html"

pdf: $(READY) ## The book as one file, _build/html/intriguing.pdf, to which `make book` then leads (needs XeLaTeX)
	@for program in xelatex latexmk xindy; do command -v $$program >/dev/null || { \
		echo "$$program is missing. On Debian or Ubuntu: sudo apt-get install --no-install-recommends $(TEX)" >&2; exit 1; }; done
	@rm -rf _build/latex  # what an interrupted run leaves there would stop the next one
	@$(BIN)/jupyter-book build . --builder latex -n --keep-going -q >/dev/null
	@unset MAKEFLAGS; $(MAKE) -C _build/latex LATEXMKOPTS="-interaction=batchmode -quiet" all-pdf >/dev/null 2>&1 || { \
		echo "The PDF could not be made; _build/latex/intriguing.log says why:" >&2; \
		grep -m 5 -A 3 '^!' _build/latex/intriguing.log >&2; exit 1; }
	@mkdir -p _build/html && cp _build/latex/intriguing.pdf _build/html/intriguing.pdf
	@echo "The book as one file: file://$(CURDIR)/_build/html/intriguing.pdf"

paper: $(READY) ## Run every chapter at paper scale; refresh stored outputs and results/paper
	@$(INTRIGUING) paper $(HOW)

record: $(READY) ## Refresh results/PROFILE (default quick) without touching stored outputs
	@$(INTRIGUING) record --profile $(PROFILE) $(HOW)

fetch: $(READY) ## Fetch and check the data that can be fetched (into INTRIGUING_DATA, or the cache)
	@$(INTRIGUING) fetch

spread: $(READY) ## Measure how the tables of the quick profile move from seed to seed
	@$(BIN)/python benchmarks/spread.py
	@$(BIN)/python benchmarks/spread_disjoint.py
	@$(BIN)/python benchmarks/spread_spectral.py
	@$(BIN)/python benchmarks/spread_units.py
	@$(BIN)/python benchmarks/spread_quocnet.py
	@$(BIN)/python benchmarks/spread_photographs.py
	@$(BIN)/python benchmarks/spread_protocol.py

bench: $(READY) ## Compare D(x, l) with every other implementation: distortion and cost
	@INTRIGUING_PROFILE=paper $(BIN)/python benchmarks/peers.py
	@INTRIGUING_PROFILE=paper $(BIN)/python benchmarks/floor.py
	@.venv-peers/bin/python benchmarks/photographs.py
	@if [ -e "$${INTRIGUING_DATA:-}/imagenet/alexnet_bvlc_q8.safetensors" ]; then $(BIN)/python benchmarks/norms.py; \
		else echo "The norms of AlexNet are left out: they need its weights in INTRIGUING_DATA/imagenet."; fi
	@if [ -d "$${INTRIGUING_DATA:-}/imagenet/val" ]; then $(BIN)/python benchmarks/large.py && $(BIN)/python benchmarks/penalty.py; \
		else echo "Photographs are left out: they need INTRIGUING_DATA/imagenet."; fi

growth: $(READY) ## Measure time and memory from 1,000 to 60,000 images
	@INTRIGUING_PROFILE=paper $(BIN)/python benchmarks/growth.py

gpu: $(READY) ## Tests, speed, distortion and Tables 1 to 4 on a GPU, in eight minutes; then the comparison of back-feeding
	@$(BIN)/python benchmarks/gpu.py
	@$(BIN)/python benchmarks/back_feeding.py

mutants: $(READY) ## Break the code in small ways and see whether the unit tests notice (hours)
	@$(BIN)/python benchmarks/mutants.py $(if $(AGAIN),--again)

faults: $(READY) ## Kill, cramp and mislead the work and see what is left of it (up to an hour)
	@$(BIN)/python benchmarks/faults.py

sync: $(READY) ## Bring each .ipynb up to its .md, keeping the outputs of unchanged cells
	@$(INTRIGUING) sync

welcome: $(READY) ## Bring README and first page up to the stored results; FIGURE=1 draws the first figure anew
	@$(INTRIGUING) welcome $(if $(FIGURE),--figure)

status: $(READY) ## List the pages whose code has changed since they were run
	@$(INTRIGUING) status

lab: $(READY) ## Open the notebooks in JupyterLab
	@INTRIGUING_PROFILE=$(PROFILE) $(BIN)/jupyter lab notebooks

browser: book ## Check the built book in headless Chromium
	@$(BIN)/python -m pytest tests/test_site.py

types: $(READY) ## Check the types of attack, lipschitz, data and book
	@$(BIN)/mypy

coverage: $(READY) ## Which lines the unit tests reach
	@INTRIGUING_PROFILE=quick OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(or $(JOBS),2) --dist loadfile \
		--cov --cov-report=term --cov-report=json:_build/coverage.json --cov-fail-under=95 tests

# The tests with the oldest versions that pyproject.toml allows, and with the newest that there are, in environments of
# their own; builds and pages stay with the locked versions.
test-oldest: RESOLUTION := lowest-direct
test-newest: RESOLUTION := highest
test-oldest test-newest: $(READY)
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python _build/$@
	@$(BIN)/uv pip install --quiet --python _build/$@ --resolution $(RESOLUTION) -e '.[test]'
	@INTRIGUING_PROFILE=quick OMP_NUM_THREADS=1 INTRIGUING_CACHE=$(CURDIR)/_build/$@-cache \
		_build/$@/bin/python -m pytest -n $(or $(JOBS),2) --dist loadfile --no-loadscope-reorder -W default \
		--ignore tests/test_site.py --nbval-lax --nbval-current-env --nbval-cell-timeout 600 tests notebooks
test-oldest: ## The tests with the oldest packages that are allowed
test-newest: ## The tests with the newest packages

links: $(READY) ## Ask other hosts whether the links of the book still lead somewhere
	@$(BIN)/jupyter-book build . --builder linkcheck -n --keep-going -q

audit: $(READY) ## Compare the locked packages with the known weaknesses
	@$(BIN)/uv tool run pip-audit==2.10.1 --strict --disable-pip --require-hashes -r requirements.txt

# rfc3987-syntax and what it needs take a second to import, in every process that reads a notebook, for a check of
# addresses that nothing here asks for; jsonschema does without them.
lock: $(READY) ## Write requirements.txt from requirements.in and pyproject.toml; UPGRADE=1 takes newer packages
	@$(BIN)/uv pip compile requirements.in pyproject.toml --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-strip-extras --no-annotate --custom-compile-command "make lock" --quiet \
		--no-emit-package rfc3987-syntax --no-emit-package lark \
		$(if $(UPGRADE),--upgrade) -o requirements.txt

clean: ## Remove what was built (not .venv, not the user's cache)
	rm -rf _build .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage
