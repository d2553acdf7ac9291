# Each target sets up what it needs: Python packages in .venv, the CDK command line in node_modules.
# ARGS="…" is passed to the command that a target runs. SETTINGS="name=value …" are settings of the stacks.
# STACKS="Prep" selects stacks for preflight, deploy and destroy.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

ARGS ?=
SETTINGS ?=
STACKS ?= --all

PYTHON := $(shell command -v python3.11 || command -v python3)
CDK := node_modules/.bin/cdk
CONTEXT = $(foreach setting,$(SETTINGS),--context $(setting))
# The templates for lint are not in cdk.out, so that lint does not interfere with a deployment.
TEMPLATES := .cache/templates
CODE := app.py stacks prep preflight rehearsal bench

# Node from the wheel in .venv comes before the system's. mkfs and losetup are not on every user's path.
export PATH := $(CURDIR)/.venv/bin:$(PATH):/usr/sbin:/sbin
export CDK_DISABLE_CLI_TELEMETRY := true

.PHONY: help rehearse test lint bench synth bootstrap preflight plan deploy destroy clean system

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand --tabs=12

rehearse: system .cache/python .cache/node ## Run all steps on this machine, without an AWS account
	@python -m rehearsal $(ARGS)

test: ## Lint, then run all tests, including the rehearsal
	@$(MAKE) --jobs=2 lint system .cache/readers/installed .cache/cluster # these take a minute or two the first time
	@python -m pytest --numprocesses=auto --dist=loadfile $(ARGS)

lint: .cache/python .cache/node ## Check code, shell, templates and policies
	@ruff check --quiet
	@ruff format --check --quiet || { echo 'lint: run "ruff format"' >&2; exit 1; }
	@mypy --no-error-summary $(CODE)
	@lint-imports >.cache/imports.log 2>&1 || { cat .cache/imports.log >&2; exit 1; }
	@grep -rlE '^#!.*\b(bash|sh)$$' --include='*' userdata rehearsal .ci | grep -v __pycache__ | xargs shellcheck
	@rm -rf $(TEMPLATES)
	@# Synthesis runs cdk-nag's AwsSolutions rules and CDK's own rules; --strict turns their warnings into errors.
	@# The setting adds the Cluster stack, which is optional; Spot Instances need one more permission.
	@AWS_EC2_METADATA_DISABLED=true $(CDK) synth --quiet --strict --no-notices --output $(TEMPLATES) \
	  --context cluster_workers=2 --context cluster_spot=yes >.cache/synth.log 2>&1 \
	  || { cat .cache/synth.log >&2; exit 1; }
	@cfn-lint $(TEMPLATES)/*.template.json
	@python -m tests.stacks.policy_lint $(TEMPLATES)
	@echo 'lint: nothing found'

bench: system .cache/python .cache/node .cache/cluster ## Measure prep against im2rec.py and write bench/RESULTS.md (about an hour and a quarter)
	@python -m bench all $(ARGS)

synth: .cache/python .cache/node ## Write the CloudFormation templates to cdk.out
	@$(CDK) synth --quiet $(CONTEXT) $(ARGS)

bootstrap: .cache/python .cache/node ## Create what CDK needs, once for each account and Region
	@$(CDK) bootstrap $(CONTEXT) $(ARGS)

preflight: .cache/python ## Check the AWS account and the data set's site before a deployment; nothing is spent
	@python -m preflight --stacks="$(STACKS)" $(CONTEXT) $(ARGS)

plan: .cache/python ## Calculate time and cost before anything is spent; nothing is asked of AWS
	@python -m preflight.plan $(CONTEXT) $(ARGS)

deploy: .cache/python .cache/node ## Run preflight, then deploy the stacks to the AWS account in use
	@zone=$$(python -m preflight --stacks="$(STACKS)" --print-zone $(CONTEXT)); \
	$(CDK) deploy $(STACKS) $(CONTEXT) $${zone:+--context "prep_zone=$$zone"} $(ARGS)

destroy: .cache/python .cache/node ## Delete the stacks; the bucket and snapshots of the volumes remain
	@$(CDK) destroy $(STACKS) $(CONTEXT) $(ARGS)

clean: ## Remove what the other targets installed or wrote, except rehearsal-output
	@rm -rf .venv .cache node_modules cdk.out .mypy_cache .ruff_cache .pytest_cache

.cache/python: requirements.txt prep/requirements.txt | .cache
	@[[ -n "$(PYTHON)" ]] && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo 'make: Python 3.11 is needed (MXNet supports nothing newer): install python3.11' >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip' 2>/dev/null || [[ -x .venv/bin/pip ]] \
	  || { echo 'make: the venv module of Python 3.11 is needed: install python3.11-venv' >&2; exit 1; }
	@[[ -x .venv/bin/pip ]] || "$(PYTHON)" -m venv .venv
	@echo 'make: installing Python packages into .venv (a minute or two the first time)'
	@.venv/bin/pip install --quiet --quiet --disable-pip-version-check --requirement requirements.txt
	@touch $@

# For the recipes for PyTorch and DALI, whose tests are skipped without it. PyTorch is Debian's: the one of PyPI brings
# CUDA, several GB. So DALI is installed for Debian's Python as well.
.cache/readers/installed: requirements-readers.txt .cache/python | system
	@skip() { echo "make: tests of the recipes for PyTorch and DALI are skipped: $$1" >&2; exit 0; }; \
	/usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || skip '/usr/bin/python3 is not Python 3.11 or newer'; \
	if [[ ! -d /usr/lib/python3/dist-packages/torchvision ]]; then \
	  if ((EUID)) || ! command -v apt-get >/dev/null; then skip 'install python3-torch and python3-torchvision'; fi; \
	  echo 'make: installing PyTorch (650 MB)'; \
	  apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends \
	    python3-torch python3-torchvision >/dev/null || skip 'apt-get failed'; \
	fi; \
	echo 'make: installing DALI into .cache/readers (1 GB)'; \
	/usr/bin/python3 -m venv --clear --without-pip --system-site-packages .cache/readers && \
	.venv/bin/pip --quiet --quiet --disable-pip-version-check --python .cache/readers/bin/python \
	  install --requirement requirements-readers.txt || skip 'pip failed'; \
	touch $@

# Ray, for `pack --on ray` on this machine. Instances of the rehearsal install their own.
.cache/cluster: requirements-cluster.txt prep/requirements-cluster.txt .cache/python
	@echo 'make: installing Ray'
	@.venv/bin/pip install --quiet --quiet --disable-pip-version-check --requirement requirements-cluster.txt
	@touch $@

.cache/node: package.json package-lock.json .cache/python
	@echo 'make: installing the CDK command line'
	@npm ci --silent --no-audit --no-fund
	@touch $@

.cache:
	@mkdir -p $@

# Commands that the rehearsal needs, and libraries that MXNet and PyTurboJPEG need, each with its Debian package.
COMMANDS := mount:mount losetup:mount mkfs.ext4:e2fsprogs blkid:util-linux fsfreeze:util-linux \
  unshare:util-linux nsenter:util-linux setpriv:util-linux mountpoint:util-linux curl:curl awk:mawk cmp:diffutils
LIBRARIES := libgomp.so.1:libgomp1 libquadmath.so.0:libquadmath0 libturbojpeg.so.0:libturbojpeg0
# PyTorch reads the image folder of `bench read`.
bench: LIBRARIES += libtorch_python.so:python3-torchvision

system:
	@missing=(); \
	for pair in $(COMMANDS); do command -v "$${pair%%:*}" >/dev/null || missing+=("$${pair##*:}"); done; \
	for pair in $(LIBRARIES); do ldconfig -p | grep -q "$${pair%%:*}" || missing+=("$${pair##*:}"); done; \
	if (($${#missing[@]})); then \
	  if ((EUID)) || ! command -v apt-get >/dev/null; then \
	    echo "make: commands or libraries are missing: install the Debian packages $${missing[*]}" >&2; exit 1; \
	  fi; \
	  echo "make: installing $${missing[*]}"; \
	  apt-get -qq update; \
	  DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends "$${missing[@]}" >/dev/null; \
	fi
