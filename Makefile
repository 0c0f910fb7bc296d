# Needs Python 3.13, make and git; everything else is put under .build/ by itself.
# After moving this folder, or Python: make clean.
# `make` alone lists the verbs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export SAM_CLI_TELEMETRY := 0

PYTHON ?=
BASE_PYTHON = "$$(PYTHON="$(PYTHON)" scripts/find-python)"
UV := .build/uv/bin/uv
ENVIRONMENTS := venv sam ministack awscli
# Made by the verbs that need them.
ON_DEMAND := checkov
LOCKS := uv dev layer sam ministack awscli checkov
VENV := .build/venv/bin
RUN := $(VENV)/python
SAM := AWS_DEFAULT_REGION=$${AWS_DEFAULT_REGION:-us-east-1} .build/sam/bin/sam
# Further arguments for pytest: make test ARGS='-k latch -x'
ARGS ?=

.PHONY: help
help:  ## list the verbs
	@awk -F ':.*## ' '/^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Environment

.PHONY: setup
setup: $(ENVIRONMENTS:%=.build/%/.installed)  ## make or update the virtual environments under .build/

$(UV): requirements/uv.txt
	@$(BASE_PYTHON) -m venv .build/uv
	@.build/uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--only-binary=:all: --requirement $<
	@touch $@

.build/venv/.installed: requirements/dev.txt
.build/sam/.installed: requirements/sam.txt
.build/ministack/.installed: requirements/ministack.txt
.build/awscli/.installed: requirements/awscli.txt
.build/checkov/.installed: requirements/checkov.txt

# Compiled at once: some machines forbid Python to write bytecode later, and the SAM CLI without
# bytecode takes seconds longer at every start. Of two at once in one environment, uv lets one wait.
$(ENVIRONMENTS:%=.build/%/.installed) $(ON_DEMAND:%=.build/%/.installed): .build/%/.installed: | $(UV)
	@echo "setup: $(@D)"
	@$(UV) venv --quiet --allow-existing --python $(BASE_PYTHON) $(@D)
	@$(UV) pip sync --quiet --require-hashes --compile-bytecode --python $(@D)/bin/python $<
	@touch $@

# What the layer ships is what the tests have run on: its pins are those of dev.
COMPILE = $(UV) pip compile --quiet $(if $(UPGRADE),--upgrade) --group $$name \
	$$([ $$name != layer ] || echo --constraint requirements/dev.txt) --output-file

.PHONY: lock
lock: $(UV)  ## lock the dependency groups of pyproject.toml again, keeping pins that still fit (UPGRADE=1 takes newer ones)
	@for name in $(LOCKS); do $(COMPILE) requirements/$$name.txt; done

.PHONY: clean
clean:  ## remove everything that was generated
	rm -rf .build .aws-sam

##@ Product

.PHONY: build
build: setup  ## sam build, unless these sources are built already
	@$(RUN) -m scripts.build --deployable

.PHONY: demo
demo: setup  ## the whole story on this machine, in less than three minutes
	@PYTHONPATH=layers/token_vending $(RUN) -m scripts.demo $(ISSUER)

# The demo's issuer: make demo ISSUER=oauth2-client-credentials
ISSUER ?= personr
# A description of an issuer: make try-issuer FILE=examples/issuers/thetvdb-v4.json
FILE ?=
LIVE ?=

.PHONY: try-issuer
try-issuer: setup  ## check a description of an issuer and play it: make try-issuer FILE=file [LIVE=1] (docs/issuers.md)
	@test -n "$(FILE)" || { echo "make try-issuer: say which description: FILE=examples/issuers/thetvdb-v4.json" >&2; exit 2; }
	@PYTHONPATH=layers/token_vending $(RUN) -m scripts.try_issuer "$(FILE)" $(if $(LIVE),--live)

##@ Operations

# The stack that doctor and smoke look at: make doctor STACK=token-vending
STACK ?=

.PHONY: doctor
doctor: setup  ## examine a deployed stack from outside: make doctor STACK=name [ARGS=--json]
	@PYTHONPATH=tools:layers/token_vending $(RUN) -m token_vending_ops doctor --stack "$(STACK)" $(ARGS)

.PHONY: releases
releases: setup  ## which versions were live since when: make releases STACK=name [ARGS=--roll-back]
	@PYTHONPATH=tools:layers/token_vending $(RUN) -m token_vending_ops releases --stack "$(STACK)" $(ARGS)

.PHONY: smoke
smoke: setup  ## try a deployed stack, reading only: make smoke STACK=name [REFRESH=1] [PROBE_ROLE_ARN=...]
	@test -n "$(STACK)" || { echo "make smoke: say which stack: make smoke STACK=name" >&2; exit 2; }
	@AWS_SAM_STACK_NAME="$(STACK)" REFRESH="$(REFRESH)" PROBE_ROLE_ARN="$(PROBE_ROLE_ARN)" \
		$(RUN) -m pytest -rs tests/e2e/test_smoke.py $(ARGS)

# What live and first-day may do besides reading: WRITE=1 a scratch secret, QUOTA=1 150 versions in it, REFRESH=1 a mint.
# It has to be said in the command: a variable that happens to be in the environment is no permission.
said = $(if $(findstring command,$(origin $(1))),$($(1)))
FIRST_DAY = PYTHONPATH=tools:layers/token_vending $(RUN) -m scripts.first_day --stack "$(STACK)" \
	$(if $(call said,WRITE),--write) $(if $(call said,QUOTA),--quota) $(if $(call said,REFRESH),--refresh)

.PHONY: live
live: setup  ## what Secrets Manager really does, with a report: make live STACK=name [WRITE=1 [QUOTA=1]]
	@$(FIRST_DAY) --live-only --report .build/live.md

.PHONY: first-day
first-day: setup  ## smoke, live, timings, drift, in one report: make first-day STACK=name [WRITE=1 REFRESH=1]
	@PROBE_ROLE_ARN="$(PROBE_ROLE_ARN)" $(FIRST_DAY) --report .build/first-day.md

.PHONY: year
year: setup  ## a simulated year, six times: mints, age, days without a token, alarms (docs/evidence/year.md)
	@PYTHONPATH=layers/token_vending $(RUN) -m tests.simulation.year $(ARGS)

.PHONY: publish-check
publish-check: build  ## is this fit for the Serverless Application Repository? Writes .build/sbom/
	@$(RUN) -m scripts.publish_check $(ARGS)

.PHONY: release
release: build  ## check that this commit can be released, and tag it vX.Y.Z (push the tag yourself)
	@$(RUN) -m scripts.publish_check --release

##@ Tests and checks

# More than a small machine has cores, since many tests wait: for a timeout, a deployment, a schedule.
WORKERS ?= 4

.PHONY: test
test: build  ## every test: unit, contract, infrastructure, integration, end to end
	@rm -rf .build/coverage
	@REQUIRE_BUILD=1 $(VENV)/coverage run -m pytest -n $(WORKERS) --durations=10 --durations-min=0.1 $(ARGS)

# How many times: make stress TIMES=20
TIMES ?= 1

.PHONY: stress
stress: build  ## make test beside a busy loop on each core, as a background job that ignores SIGINT (TIMES=)
	@busy=(); trap 'kill "$${busy[@]}"' EXIT; trap '' INT; \
	for _ in $$(seq "$$(getconf _NPROCESSORS_ONLN)"); do while :; do :; done & busy+=($$!); done; \
	for _ in $$(seq $(TIMES)); do $(MAKE) test & wait $$!; done

.PHONY: unit
unit: setup  ## the tests that need nothing started
	@$(RUN) -m pytest tests/unit $(ARGS)

.PHONY: e2e
e2e: build  ## the tests on the embedded stack
	@$(RUN) -m pytest tests/e2e $(ARGS)

# How much of it: make soak WALKS=400000
WALKS ?= 200000

.PHONY: soak
soak: setup  ## far more walks through the model, and other ones each time (WALKS= says how many)
	@MODEL_WALKS=$(WALKS) MODEL_SEED=$$(date +%s) $(RUN) -m pytest -n 2 tests/simulation $(ARGS)

.PHONY: reliability
reliability: setup  ## run the crash, fault and race tests and write their tables into docs/evidence/reliability.md
	@$(RUN) -m scripts.reliability

.PHONY: safeguards
safeguards: setup  ## take out the safeguards that scripts/mutants.py lists, one at a time: tests must notice each
	@$(RUN) -m scripts.mutants

.PHONY: check
check: setup lint types imports template controls workflows locks  ## lints, types, import contracts, template, controls, workflows, locks

.PHONY: lint
lint: setup
	@$(VENV)/ruff check .
	@$(VENV)/ruff format --check .

.PHONY: types
types: setup
	@$(VENV)/mypy .

.PHONY: imports
imports: setup
	@PYTHONPATH=layers/token_vending:layers/token_client $(VENV)/lint-imports --cache-dir .build/.import_linter_cache --no-logo

.PHONY: template
template: setup  ## lint the template, and its transformed self for every region and partition (docs/evidence/regions.md)
	@.build/sam/bin/cfn-lint template.yaml examples/*/*.yaml
	@$(RUN) -m scripts.regions $(ARGS)
	@for template in template.yaml examples/*/template.yaml; do $(SAM) validate --lint --template "$$template"; done

.PHONY: controls
controls: setup .build/checkov/.installed  ## checkov and AWS Control Tower's rules on the transformed template (the table in SECURITY.md)
	@$(RUN) -m scripts.controls $(ARGS)

.PHONY: workflows
workflows: setup
	@for workflow in $(wildcard .github/workflows/*.yml .github/workflows/*.yaml examples/github-actions/*.yml); do \
		$(VENV)/check-jsonschema --quiet --builtin-schema vendor.github-workflows "$$workflow"; \
		$(VENV)/zizmor --offline --quiet $$([[ $$workflow != .github/* ]] || echo --persona=pedantic) "$$workflow"; \
	done

# Only pins are compared: one more wheel of a pinned release is no fault of ours.
.PHONY: locks
locks: $(UV)
	@pins() { grep -o '^[^ #]*==[^ ;]*' "$$1"; }; for name in $(LOCKS); do \
		cp requirements/$$name.txt .build/resolved.txt; $(COMPILE) .build/resolved.txt; \
		diff <(pins requirements/$$name.txt) <(pins .build/resolved.txt) || \
			{ echo "requirements/$$name.txt is not what pyproject.toml asks for: make lock" >&2; exit 1; }; \
	done; echo "locks answer pyproject.toml"

.PHONY: audit
audit: setup  ## look every locked package up in OSV's list of known vulnerabilities
	@for name in $(LOCKS); do echo "requirements/$$name.txt:"; $(VENV)/pip-audit --disable-pip --require-hashes --strict \
		--vulnerability-service osv --progress-spinner off --requirement requirements/$$name.txt; done

.PHONY: format
format: setup  ## let ruff correct what it can
	@$(VENV)/ruff check --fix-only --quiet .
	@$(VENV)/ruff format .

##@ Speed and cost

.PHONY: bench
bench: setup  ## measure the functions beside what else could have been written; writes docs/evidence/performance.md
	@PYTHONPATH=layers/token_client:layers/token_vending $(RUN) -m bench $(ARGS)

.PHONY: cost
cost: setup  ## what callers cost a month, and where AWS's limits bite (ARGS='--callers 200 --help')
	@$(RUN) -m bench.cost $(ARGS)

.PHONY: cost-page
cost-page: setup
	@$(RUN) -m bench.cost --page
