# Every target sets itself up; `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help setup firmware sim linux disks work test lint format formal bench report bitstream costs flash wave list \
	managed soak lock captures clean

MINUTES ?= 10
SEED ?= 1
BENCH ?=
ROOM ?=
# When not given, the one that CONFIG is for.
BOARD ?=
CONFIG ?= network
SEEDS ?= 1

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONPATH := $(CURDIR)/hw:$(CURDIR)/firmware:$(CURDIR)
# Amaranth keeps names in sets: the same text, and so a cached model, each time.
export PYTHONHASHSEED := 0
export NITER_SEED := $(SEED)
# Benches load the same modules time and again.
export PYTHONDONTWRITEBYTECODE :=

HARNESS := python -m sim.harness

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "Variables: SEED=1 MINUTES=10 BENCH=room/dut[:variant] ROOM=room"
	@echo "           BOARD= CONFIG=network SEEDS=1"

setup: ## Make the virtual environment that the other targets use; they do so themselves.
	@.ci/setup

firmware: setup ## Build boot ROM and firmware; prints sizes and measurements.
	@python -m firmware.build

sim: setup ## Run the card in Verilator against its partners; leaves build/sim/{results.xml,card.pcapng}.
	@$(HARNESS) run card --tier fast --tier slow

linux: ## Boot stock Linux on running cards; as root against Linux' own vxlan and vblade. SEED=
	@.ci/setup live
	@python -m pytest -q -n 2 --dist worksteal -m slow tests/live
	@python -m sim.linux network storage --short

disks: ## The rest of that: all cases of a storage card and of a card of virtio disks. SEED=
	@.ci/setup live
	@python -m sim.linux storage disks

work: ## Count a guest's instructions for frames and blocks, with the card and without. As root.
	@.ci/setup live
	@python -m sim.linux.work

managed: ## Let the card's own processor boot in the running card, and niterctl configure it; many minutes.
	@.ci/setup live
	@python -m pytest -q -m managed tests/live

test: setup ## Run every fast test: units, proofs, short benches. SEED=
	@python -m pytest -n 2 --dist worksteal

lint: setup ## Check format and style.
	@ruff format --check .
	@ruff check .

format: setup ## Put files into the house's format.
	@ruff check --fix-only --quiet .
	@ruff format .

formal: setup ## Run the proofs alone.
	@python -m pytest -n 2 tests/formal

bench: setup ## Measure rates and latencies, simulated; leaves build/bench/results.json.
	@$(HARNESS) run --tier bench --figures build/bench/results.json

report: setup ## Count the area of every room for ECP5; with ROOM= place and time that one.
	@python -m boards.report $(ROOM)

bitstream: setup ## Build a card for a board; leaves build/<board>-<config>/. BOARD= CONFIG= SEEDS=
	@python -m boards.bitstream $(BOARD:%=--board %) --config $(CONFIG) --seeds $(SEEDS)

costs: setup ## Write docs/boards/costs.md from the bitstreams that were built.
	@python -m boards.costs

flash: setup ## Load the bitstream with openFPGALoader, into SRAM. BOARD= CONFIG=
	@python -m boards.flash $(BOARD:%=--board %) --config $(CONFIG)

wave: ## Run one bench and keep its waves. BENCH=
	@$(if $(BENCH),,$(error Say which bench: make wave BENCH=room/dut, one of those that "make list" names))
	@.ci/setup waves
	@$(HARNESS) run --wave $(BENCH)

list: setup ## Name the benches.
	@$(HARNESS) list

soak: setup ## Run the fuzz benches, AoE over a bad relay, and the card as a process. MINUTES= for each
	@$(HARNESS) soak --minutes $(MINUTES)
	@python -m sim.storage.aoe.relay --requests 100000
	@python -m sim.storage.aoe.row
	@.ci/setup live
	@python -m sim.live soak sim/live/example.toml --minutes $(MINUTES)

lock: setup ## Write requirements.lock anew from pyproject.toml.
	@python -m venv build/lock
	@build/lock/bin/pip install --quiet uv==0.13.9
	@build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-header --extra sim --extra firmware --extra test --extra report --extra setup \
		pyproject.toml --output-file requirements.lock

captures: setup ## Record sim/captures anew; needs root.
	@python -m sim.captures.record

clean: ## Remove what was built; the virtual environment stays.
	@rm -rf build
