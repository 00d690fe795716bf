# Every target prepares what it needs by itself: `make demo` on a fresh clone is enough. See `make help`.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-warn-conflicts
LOCKED := $(PIP) --require-hashes --no-build-isolation
S := .venv/.stamps
PACKAGE := $(S)/package$(if $(TICKGATE_PURE),-pure)
FOLDERS := hw gateware sw drivers sim

export TICKGATE_CACHE ?= $(CURDIR)/build/cache
export YOWASP_CACHE_DIR ?= $(CURDIR)/build/cache/yowasp
export AMARANTH_USE_YOSYS := builtin
COMPILED := $(YOWASP_CACHE_DIR)/compiled
unexport PYTHONPATH PYTHONHOME

## setup: create .venv and install the locked tools (every target does this first)
.PHONY: setup
setup: $(PACKAGE)

## demo: generate a session, replay it through the gateware, compare, and leave a report in build/demo
.PHONY: demo
demo: setup
	@$(BIN)/tickgate demo $(ARGS)

## test: run the test suite (PYTEST="-k word" passes options to pytest)
.PHONY: test
test: setup $(S)/dev $(COMPILED)
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal -m "not soak" $(PYTEST)

## test-asan: run the tests of the ports, the annealing and the router with their C code under AddressSanitizer and UBSan
.PHONY: test-asan
PRELOADED = $$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)
# -S: the editable installation in .venv would be found before the sanitized one.
ALONE = import glob, sys; sys.path[:0] = ["build/asan/site", *glob.glob(".venv/lib/python*/site-packages")]; \
  import pytest; sys.exit(pytest.main(sys.argv[1:]))
test-asan: setup $(S)/dev
	@$(PIP) --no-deps --no-build-isolation --upgrade --target build/asan/site \
	  --config-settings=build-dir=build/asan/build --config-settings=cmake.define.TICKGATE_SANITIZE=address,undefined .
	@LD_PRELOAD="$(PRELOADED)" ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc \
	  $(BIN)/python -S -c '$(ALONE)' -q -p no:cacheprovider tests/drivers/test_port.py tests/drivers/test_xdp.py \
	  tests/drivers/test_faults.py tests/hw/test_anneal.py tests/hw/test_route.py $(PYTEST)

## sim: run the cocotb benches (STAGE=book for one, WAVES=1, FULL=1, SEED=7)
.PHONY: sim
sim: setup
	@$(BIN)/tickgate sim $(if $(STAGE),--stage $(STAGE)) $(if $(WAVES),--waves) $(if $(FULL),--full) $(if $(SEED),--seed $(SEED)) $(ARGS)

## compare: compare gateware and models on an ITCH file: make compare ITCH=file
.PHONY: compare
compare: setup
	@[ -n "$(ITCH)" ] || { echo "compare: name the file: make compare ITCH=file" >&2; exit 2; }
	@$(BIN)/tickgate compare "$(ITCH)" $(ARGS)

## bench: latency and throughput of every port backend beside its peers, as ratios; report in build/bench (ARGS=--quick)
.PHONY: bench
bench: setup
	@$(BIN)/tickgate bench --report build/bench/report.html $(ARGS)

## verilog: write the Verilog of the whole design, or of one stage (STAGE=book)
.PHONY: verilog
verilog: setup
	@$(BIN)/tickgate verilog $(if $(STAGE),--stage $(STAGE)) $(ARGS)

## timing: place and route with the YoWASP tools, which it installs: clock, cells, critical path (STAGE=book for one)
.PHONY: timing
timing: setup $(S)/timing
	@$(BIN)/tickgate timing $(if $(STAGE),--stage $(STAGE)) $(ARGS)

## netlist-check: synthesise the device for ECP5 and compare the result with the models: make netlist-check ITCH=file
.PHONY: netlist-check
netlist-check: setup $(S)/timing
	@[ -n "$(ITCH)" ] || { echo "netlist-check: name the file: make netlist-check ITCH=file" >&2; exit 2; }
	@$(BIN)/tickgate netlist --size small
	@$(BIN)/tickgate compare --via netlist:build/netlist/small.v --size small --limit 2000 "$(ITCH)" $(ARGS)

## bitstream: build a board's bitstream: make bitstream BOARD=name SEEDS=4 ALLOW_SLOW=1 (bitstream-all: every board)
.PHONY: bitstream bitstream-all
BITSTREAM = $(BIN)/tickgate bitstream $(if $(SEEDS),--seeds $(SEEDS)) $(if $(ALLOW_SLOW),--allow-slow) $(ARGS)
bitstream: setup $(COMPILED)
	@[ -n "$(BOARD)" ] || { echo "bitstream: name the board: make bitstream BOARD=versa_ecp5_5g" >&2; exit 2; }
	@$(BITSTREAM) $(BOARD)
bitstream-all: setup $(COMPILED)
	@$(BITSTREAM) --all --table docs/boards/built.md

## lint: check style, types, import direction, documentation and generated files
.PHONY: lint lint-style lint-types lint-imports lint-tree lint-generated lint-docs
lint: lint-style lint-types lint-imports lint-tree lint-generated lint-docs
lint-style: setup $(S)/dev
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
lint-types: setup $(S)/dev links
	MYPYPATH=build/ns $(BIN)/mypy $(addprefix -p tickgate.,$(FOLDERS))
lint-imports: setup $(S)/dev links
	PYTHONPATH=build/ns $(BIN)/lint-imports --no-logo
lint-tree:
	$(PYTHON) .ci/check_tree
lint-generated: setup
	$(if $(wildcard sw/report/generate_docs.py),$(BIN)/python -m tickgate.sw.report.generate_docs --check)
lint-docs: setup $(S)/docs
	$(if $(wildcard docs/conf.py),$(SPHINX))

## coverage: branch coverage of sw/spec and sw/model, which must be whole
.PHONY: coverage
coverage: setup $(S)/dev
	@$(BIN)/python -m pytest -q -m "not soak" -o addopts="--import-mode=importlib --strict-markers" \
	  --cov=tickgate.sw.spec --cov=tickgate.sw.model --cov-branch --cov-fail-under=100 --cov-report=term-missing:skip-covered \
	  tests/sw/spec tests/sw/model

## soak: run the long tests (10,000,000 messages)
.PHONY: soak
soak: setup $(S)/dev
	@$(BIN)/python -m pytest -m soak $(PYTEST)

SPHINX = $(BIN)/sphinx-build -W --keep-going -q -d build/doctrees -b html docs build/docs

## docs: build the documentation into build/docs, warnings are errors
.PHONY: docs
docs: setup $(S)/docs
	@$(SPHINX)
	@echo "build/docs/index.html"

## clean: remove build/ (what was generated, cached and reported); .venv stays
.PHONY: clean
clean:
	rm -rf build dist

## help: print this list
.PHONY: help
help:
	@sed -n 's/^## \([a-z-]*\): /\1\t/p' $(firstword $(MAKEFILE_LIST)) | while IFS=$$'\t' read -r name text; do printf '  make %-13s %s\n' "$$name" "$$text"; done

# The import path tickgate.<folder> as links, for tools that cannot follow the editable installation.
.PHONY: links
links:
	@mkdir -p build/ns/tickgate
	@for folder in $(FOLDERS); do [ -e build/ns/tickgate/$$folder ] || ln -s ../../../$$folder build/ns/tickgate/$$folder; done

# Installation. A stamp is newer than all that it was made from, so that a second run has nothing to do.
$(S)/venv:
	@command -v $(PYTHON) >/dev/null || { printf 'missing: %s, which runs everything\n  Debian package: python3\n' $(PYTHON) >&2; exit 2; }
	@$(PYTHON) sw/cli/preflight.py
	@echo "setup: creating .venv"
	@$(PYTHON) -m venv .venv
	@mkdir -p $(S) && touch $@

$(S)/build: requirements/build.txt | $(S)/venv
	@echo "setup: installing the build tools"
	@$(LOCKED) -r $<
	@touch $@

$(S)/run $(S)/dev $(S)/docs $(S)/timing: $(S)/%: requirements/%.txt $(S)/build
	@echo "setup: installing the locked packages of requirements/$*.txt"
	@$(LOCKED) -r $<
	@touch $@

# WebAssembly becomes machine code at the first use of a tool: here, and not in the middle of something else.
$(COMPILED): $(S)/timing | $(PACKAGE)
	@echo "setup: compiling the place-and-route tools for this machine, which takes minutes and is done once"
	@$(BIN)/python -m tickgate.hw.tools
	@mkdir -p $(@D) && touch $@

$(PACKAGE): $(S)/run pyproject.toml CMakeLists.txt drivers/CMakeLists.txt $(wildcard drivers/*.pyx drivers/*.pxd drivers/c/*.[ch] drivers/bench/*.pyx drivers/bench/*.h drivers/bench/CMakeLists.txt hw/CMakeLists.txt hw/*.pyx hw/c/*.[ch])
	@echo "setup: $(if $(TICKGATE_PURE),installing without the compiled drivers (TICKGATE_PURE),building the drivers)"
	@$(PIP) --no-deps --no-build-isolation --editable .
	@rm -f $(S)/package $(S)/package-pure && touch $@
