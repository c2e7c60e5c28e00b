# `make` lists what can be done. Everything happens in .venv; nothing else of the machine is changed,
# but for `make testbed`, which installs Debian packages.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$python; break; }; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTEST := $(BIN)/python -m pytest -q
#: the layers that start no server but the embedded one
QUICK := --layer unit --layer simulation --layer fake

.DEFAULT_GOAL := help
.PHONY: help setup demo lint test test-quick test-services testbed chaos chaos-peers bench simulate mutants docs constraints clean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## make .venv with everything that is needed

$(VENV)/.ready: pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ]; then \
		echo "jobferry needs Python 3.11 or newer with venv (Debian: apt install python3-venv)," \
			"or name one: make PYTHON=/path/to/python3" >&2; exit 1; fi
	@echo "Installing into $(VENV); the first time takes a minute or two"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade pip
	@$(PIP) install --require-hashes -r constraints.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## run real work on this machine and show the results
	@$(BIN)/python examples/demo.py

lint: setup ## check style, types and layering
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup ## run every test that can run here; names what it skips
	@status=0; \
	$(MAKE) --no-print-directory test-quick || status=1; \
	$(MAKE) --no-print-directory test-services || status=1; \
	exit $$status

# A test that fails is run once more, because a loaded machine may be slower than any limit; the summary names it,
# and it counts as passed if it passes then.
test-quick: setup ## only the tests that need no server: unit, simulation, fake
	@$(PYTEST) $(QUICK) -n 2 --reruns 1

# Most of their time is waiting, so three at a time fit on two cores.
test-services: setup ## only the tests on real servers and processes
	@$(PYTEST) --layer services -n 3 --dist loadfile --reruns 1

testbed: ## install the servers that tests want: Slurm, OpenSSH, Redis (Debian, root)
	@testbed/install.sh

MINUTES ?= 25
JOBS ?= 20000
chaos: setup ## real processes under real kills for MINUTES; SEED and JOBS may be given, too (needs `make testbed`)
	@$(BIN)/python -u -m tests.chaos --minutes $(MINUTES) --seed $(or $(SEED),7) --jobs $(JOBS) $(CHAOS)

chaos-peers: setup ## the same work on DPDispatcher and on plain Celery tasks, which are killed alike
	@$(BIN)/python -u -m tests.chaos.peers

bench: setup ## measure, and write docs/benchmarks.md
	@$(BIN)/python -m benchmarks.run --document docs/benchmarks.md

SEEDS ?= 2000
simulate: setup ## live through SEEDS=2000 simulated storms, or SEED=17 alone with its trace
	@$(BIN)/python -m tests.simulation.engine.driver $(if $(SEED),--only $(SEED),--seeds $(SEEDS))

mutants: setup ## change the code that keeps the promise, one condition at a time; every change has to be noticed
	@$(BIN)/python -m tests.simulation.engine.mutants

docs: setup ## check the links, commands and examples of README.md and docs/
	@$(PYTEST) tests/test_documentation.py

# The addresses of package indexes are a matter of each machine: none is written into the file.
constraints: ## pin the newest versions of everything, with hashes
	@test -x $(BIN)/pip-compile || $(MAKE) setup
	@$(BIN)/python -c 'import tomllib; \
		project = tomllib.load(open("pyproject.toml", "rb")); \
		print(*project["project"]["dependencies"], *project["dependency-groups"]["dev"], sep="\n")' \
	| env -u PIP_FIND_LINKS -u PIP_INDEX_URL -u PIP_EXTRA_INDEX_URL $(BIN)/pip-compile --quiet --upgrade \
		--generate-hashes --allow-unsafe --strip-extras --no-header --no-annotate \
		--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options \
		--output-file constraints.txt -

clean: ## remove .venv and everything else that these commands made
	@rm -rf $(VENV) dist demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage mutants.jsonl
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
