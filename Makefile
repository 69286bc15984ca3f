# The one entrance. `make help` lists the targets.
SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH)
# Folders of tests with packages of npm.
NPM := tests/browser tests/dashboards tests/page
RUN_ARGS ?= --demo 2
# Most tests wait for other processes most of the time: two for each processor, at most as many as a laptop can run.
TEST_THREADS ?= $(shell n=$$(( $$(nproc) * 2 )); echo $$(( n < 12 ? n : 12 )))
# Tests of the page: a browser without a graphics card keeps two processors busy by itself.
PAGE_TESTS := browser:: browser_dialogs:: browser_faults::
PAGE_TEST_THREADS ?= 2
# Crates without I/O; those of the list that exist.
QUICK := rsm-conventions $(patsubst %/Cargo.toml,rsm-%,$(wildcard $(addsuffix /Cargo.toml,model control media)))
# Cargo gives a dependency the features that the selected packages need together, so each build of release programs
# selects the same packages and names its programs: what `make build` compiled, `make bench` takes.
RELEASE := cargo build --release --locked -p rsm -p rsm-simulator -p rsm-bench
BENCHES := --bin 'rsm-bench*' --bin rsm-stub-worker
# How long `make soak` runs.
MINUTES ?= 24
# `make fuzz`: seconds for each target, its targets (all), and the flags that make stable Rust report coverage to libFuzzer.
FUZZ_SECONDS ?= 30
FUZZ_TARGETS ?= $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))
FUZZ_DIR := target/fuzz
FUZZ_HOST = $(shell rustc -vV | sed -n 's/^host: //p')
SANCOV := level=4 inline-8bit-counters pc-table trace-compares
FUZZ_FLAGS := -Ccodegen-units=1 -Cpasses=sancov-module $(addprefix -Cllvm-args=-sanitizer-coverage-,$(SANCOV))

.DEFAULT_GOAL := help
.PHONY: help deps deps-test build run monitor test quick page-test words lint page-lint fmt doc deny advisories bench bench-cost bench-faults bench-farm bench-viewers soak fuzz pictures clean

help: ## Lists the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

deps: ## Installs the packages that building and running need, if they are missing
	@deploy/deps.sh run

deps-test: $(NPM:=/node_modules/.package-lock.json) ## Installs the packages that the tests need too
	@deploy/deps.sh test

%/node_modules/.package-lock.json: %/package-lock.json
	@deploy/deps.sh test
	cd $* && npm ci --no-audit --no-fund --ignore-scripts

build: deps ## Builds the release binaries, and their debug information beside them
	$(RELEASE) --bin rsm --bin rsm-camera
	@deploy/strip.sh target/release/rsm target/release/rsm-camera

run: build ## Builds and runs everything on this machine, with two test cameras
	@exec target/release/rsm up $(RUN_ARGS)

monitor: ## Prometheus, and Grafana where it is installed, beside a running rsm; Ctrl-C ends them
	@exec deploy/monitor.sh

# `--workspace` with one test program too: the dependencies keep the features of the line before.
test: deps-test page-test ## Builds and passes every test
	cargo build --locked --workspace --bins
	cargo test --locked --workspace -- --test-threads $(TEST_THREADS) $(addprefix --skip ,$(PAGE_TESTS))
	cargo test --locked --workspace --test blackbox -- --test-threads $(PAGE_TEST_THREADS) $(PAGE_TESTS)

# Not cargo-nextest: it gives each test a process of its own, and the tests of the worker would then load GStreamer's
# plugins hundreds of times; the bound on browsers that run at once would not hold either.
quick: page-test ## What needs no processes, devices or GStreamer: pure crates, conventions; under a minute once built
	cargo test -q --locked $(addprefix -p ,$(QUICK))

words: ## Measures the words of comments and the names of types; WORDS=worker/src lists the lines to reword there
	@RSM_WORDS=$(WORDS) cargo test -q --locked -p rsm-conventions -- --nocapture --test-threads 1 words type_names

lint: page-lint ## Format, clippy, documentation, and types and lint of the page, without warnings
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

# The page has no build step; these targets only check it. npm packages are not served.
page-test: tests/page/node_modules/.package-lock.json ## Unit tests of the page's modules, by node's test runner
	cd tests/page && node --test

page-lint: tests/page/node_modules/.package-lock.json ## Types (tsc) and lint (eslint) of the page and of browser scripts
	tests/page/node_modules/.bin/tsc --project tests/page/tsconfig.json
	tests/page/node_modules/.bin/eslint --config tests/page/eslint.config.js --max-warnings 0 viewing/web tests/page tests/browser

fmt: ## Formats the code
	cargo fmt --all

# Built once, without optimisation: it reads manifests for a second, and an optimised build takes twice as long.
target/tools/bin/cargo-deny:
	cargo install --locked --debug --root target/tools --target-dir target/tools/build cargo-deny@0.20.2
	rm -rf target/tools/build

deny: target/tools/bin/cargo-deny ## Licences, bans and sources of the dependencies; no network once all is downloaded
	$< --locked check bans licenses sources

advisories: target/tools/bin/cargo-deny ## Known vulnerabilities of the dependencies; needs a network
	$< --locked check advisories

bench: build ## Measures start-up times, costs and steadiness of the release build; prints a table
	$(RELEASE) $(BENCHES)
	target/release/rsm-bench
	target/release/rsm-bench-cost

bench-cost: build ## Measures the cost of a camera, beside ffmpeg doing the same work
	$(RELEASE) $(BENCHES)
	target/release/rsm-bench-cost $(COST_ARGS)

bench-faults: build ## Takes parts of a farm away, one after the other; prints the interruption that viewers saw
	$(RELEASE) $(BENCHES)
	target/release/rsm-bench-faults

bench-farm: build ## Starts 500 streams on 3 workers and 10,000 on 20, without cameras; prints times and costs
	$(RELEASE) $(BENCHES)
	target/release/rsm-bench-farm

bench-viewers: build ## Measures what many viewers get from a relay, and its cost; VIEWERS_ARGS="--only crowd"
	$(RELEASE) $(BENCHES)
	target/release/rsm-bench-viewers $(VIEWERS_ARGS)

soak: build ## Twelve cameras, two workers and viewers that come and go for MINUTES=24; fails on a death and on creep
	$(RELEASE) --bin rsm-soak
	target/release/rsm-soak --minutes $(MINUTES) $(SOAK_ARGS)

# A target directory of its own, and --target so that build scripts are not instrumented.
fuzz: deps ## Fuzzes every parser: FUZZ_SECONDS=30 for each of FUZZ_TARGETS
	RUSTFLAGS="$(FUZZ_FLAGS)" cargo build --locked --manifest-path fuzz/Cargo.toml --target $(FUZZ_HOST) \
		--target-dir $(FUZZ_DIR) $(addprefix --bin ,$(FUZZ_TARGETS))
	@set -e; for target in $(FUZZ_TARGETS); do \
		mkdir -p fuzz/corpus/$$target fuzz/artifacts/$$target; \
		echo "== $$target, $(FUZZ_SECONDS) s"; \
		$(FUZZ_DIR)/$(FUZZ_HOST)/debug/$$target -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 \
			-print_final_stats=1 -artifact_prefix=fuzz/artifacts/$$target/ fuzz/corpus/$$target fuzz/seeds/$$target; \
	done

pictures: deps-test ## Takes the pictures of the page, and those of docs/monitoring.md, anew, into docs/
	cargo build --locked --workspace --bins
	RSM_TEST_PICTURES=$(CURDIR)/docs cargo test --locked --workspace --test blackbox -- the_pictures_of_the_readme_can_be_taken \
		cameras_that_fail_raise_alerts

clean: ## Removes build results
	cargo clean
	rm -rf $(NPM:=/node_modules)
