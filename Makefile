# Everything that people and CI do here. `make` alone says what there is.
#
# Needs rustup, go, make and a C compiler; the rest it fetches. Every cargo call is `--locked --release`: tests, lints
# and the shipped binary share one profile, so that wasmtime is compiled once.

.DEFAULT_GOAL := help
# Targets use the same build folders; cargo runs in parallel by itself.
.NOTPARALLEL:

BUILD        := build
DSEQ         := $(BUILD)/dseq
COMETBFT     := $(BUILD)/cometbft
COMETBFT_PIN := $(shell cat networks/cometbft.version)
# The version that running networks come from; only `make rolling` needs it.
COMETBFT_OLD := $(shell cat networks/cometbft.previous)
COMETBFT_OLD_BIN := $(BUILD)/tools/cometbft-$(COMETBFT_OLD)/cometbft
# One that breaks the rules, for tests.
BYZANTINE    := $(BUILD)/tools/byzantine/cometbft
OTELCOL_PIN  := 0.165.0
OTELCOL      := $(BUILD)/tools/otelcol/otelcol
TOOLCHAIN    := $(shell sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
# Tools in Rust are compiled unoptimised: that takes half the time, and they have a second or two of work each.
DENY_PIN     := 0.20.2
DENY         := $(BUILD)/tools/cargo-deny-$(DENY_PIN)/bin/cargo-deny
MDBOOK_PIN   := 0.5.4
MDBOOK       := $(BUILD)/tools/mdbook-$(MDBOOK_PIN)/bin/mdbook
# Software bills of materials for what is published: of dseq, and of CometBFT.
CYCLONEDX_PIN := 0.5.9
CYCLONEDX    := $(BUILD)/tools/cargo-cyclonedx-$(CYCLONEDX_PIN)/bin/cargo-cyclonedx
CYCLONEDX_GO_PIN := 1.10.0
CYCLONEDX_GO := $(BUILD)/tools/cyclonedx-gomod-$(CYCLONEDX_GO_PIN)/cyclonedx-gomod
# A C compiler and linker for other processors and C libraries (zig), and what makes cargo use it.
ZIGBUILD_PIN := 0.24.1
ZIG_PIN      := 0.17.1
ZIGBUILD     := $(BUILD)/tools/cargo-zigbuild-$(ZIGBUILD_PIN)-$(ZIG_PIN)/bin/cargo-zigbuild
# What the scripts in networks/dist and networks/docker call.
RELEASE_TOOLS := $(ZIGBUILD) $(CYCLONEDX) $(CYCLONEDX_GO)
with-release-tools = PATH="$(abspath $(dir $(ZIGBUILD))):$(abspath $(dir $(CYCLONEDX))):$(abspath $(dir $(CYCLONEDX_GO))):$$PATH"
CARGO_FLAGS  := --locked --release
# Where the recipes below look for what was built, whatever the caller's environment says.
export CARGO_TARGET_DIR := $(abspath target)

##@ Network

.PHONY: start stop status read-all logs checksum monitor
start: build ## Build all, run four nodes, wait until they accept transactions
	@$(DSEQ) testnet start

stop: ## Stop the nodes; the data stays
	@if [ -d $(BUILD)/localnet ]; then $(call need-dseq); $(DSEQ) testnet stop; else echo "Nothing to stop: there is no network in $(BUILD)/localnet."; fi

status: ## The state of each node
	@$(call need-dseq); $(DSEQ) testnet status

read-all: ## All nodes side by side, live: lengths, rates, agreement, last records; Ctrl-C ends it
	@$(call need-dseq); $(DSEQ) status --follow

logs: ## The end of each node's logs
	@$(call need-dseq); $(DSEQ) testnet logs

checksum: ## Do all nodes hold the same sequence?
	@$(call need-dseq); $(DSEQ) checksum

# Its data and nothing else is in $(BUILD)/monitor; it may be removed while Prometheus does not run.
MONITOR_PORT ?= 9095
monitor: ## Prometheus with the network's metrics and alerts, until Ctrl-C (see docs/metrics.md)
	@command -v prometheus >/dev/null || { \
		echo "prometheus is not on PATH; on Debian and Ubuntu: apt-get install prometheus" >&2; exit 1; }
	@echo "Prometheus: http://localhost:$(MONITOR_PORT)"
	@echo "    alerts: http://localhost:$(MONITOR_PORT)/alerts"
	@echo "   targets: http://localhost:$(MONITOR_PORT)/targets (CometBFT's are up after \`dseq testnet start --metrics\`)"
	@echo "   Grafana: import networks/local/monitoring/dashboard.json"
	@echo "Ctrl-C stops it."
	@exec prometheus --log.level=warn --config.file=networks/local/monitoring/prometheus.yml \
		--web.listen-address=127.0.0.1:$(MONITOR_PORT) \
		--storage.tsdb.path=$(BUILD)/monitor --storage.tsdb.retention.size=512MB

##@ Load

# From a second terminal, while the network runs. docs/load.md says what each figure means.
.PHONY: load-quick load-medium load-heavy load load-max
load-quick: ## 10 transactions, 3 at once
	@$(call need-dseq); $(DSEQ) load --requests 10 --concurrency 3

load-medium: ## 100 transactions, 9 at once
	@$(call need-dseq); $(DSEQ) load --requests 100 --concurrency 9

load-heavy: ## 1,000 transactions, 30 at once
	@$(call need-dseq); $(DSEQ) load --requests 1000 --concurrency 30

# Each of these is an option of `dseq load`; a closed loop unless there is a RATE.
load: ## With your own values: NODES=host:port,... REQUESTS= or DURATION=, CONCURRENCY=, SIZE=, RATE=, REPORT=file.html
	@$(call need-dseq); $(DSEQ) load $(if $(NODES),--node $(NODES)) $(if $(REQUESTS),--requests $(REQUESTS)) \
		$(if $(DURATION),--duration $(DURATION)) $(if $(CONCURRENCY),--concurrency $(CONCURRENCY)) \
		$(if $(SIZE),--size $(SIZE)) $(if $(RATE),--rate $(RATE)) $(if $(REPORT),--report $(REPORT))

load-max: ## Rising rates until the latency or the rate breaks, and which
	@$(call need-dseq); $(DSEQ) load --find-max $(if $(NODES),--node $(NODES)) $(if $(DURATION),--duration $(DURATION)) \
		$(if $(SIZE),--size $(SIZE)) $(if $(RATE),--rate $(RATE))

need-dseq = [ -x $(DSEQ) ] || { echo "$(DSEQ) is not there; run \`make build\` first" >&2; exit 1; }

##@ Build

.PHONY: build dseq cometbft plugins plugins-lock plugins-verify toolchain clippy rustfmt llvm-tools clean
# CometBFT is fetched and compiled beside cargo, which does not keep all processors busy all the time.
build: toolchain ## build/dseq, build/cometbft, build/plugins
	@$(MAKE) --no-print-directory cometbft & cometbft=$$!; \
	$(MAKE) --no-print-directory dseq plugins; built=$$?; wait $$cometbft && exit $$built

# Replaced in one step and only when it changed: nodes may be running from it.
dseq: toolchain
	@cargo build $(CARGO_FLAGS) -p dseq --bin dseq
	@mkdir -p $(BUILD)
	@cmp -s target/release/dseq $(DSEQ) || { cp target/release/dseq $(DSEQ).new && mv $(DSEQ).new $(DSEQ); }

# The pinned version: ours, if it is there already; else the one on PATH, by a link; else ours is built, from source with the one change
# that networks/build-cometbft makes. It is moved there when it is whole, so that nodes which run meanwhile can always be restarted.
cometbft:
	@mkdir -p $(BUILD); \
	version() { "$$1" version 2>/dev/null | sed 's/^v//'; }; \
	is_pinned() { case $$(version "$$1") in $(COMETBFT_PIN) | $(COMETBFT_PIN)+*) ;; *) return 1 ;; esac; }; \
	if [ "$$(version $(COMETBFT))" = $(COMETBFT_PIN)+dseq ]; then exit 0; fi; \
	if [ -L $(COMETBFT) ] && is_pinned $(COMETBFT); then exit 0; fi; \
	found=$$(command -v cometbft || true); \
	if [ "$$found" -ef $(COMETBFT) ]; then found=; fi; \
	if [ -n "$$found" ] && is_pinned "$$found"; then \
		echo "Using CometBFT $(COMETBFT_PIN) from $$found"; ln -sf "$$found" $(COMETBFT); exit; \
	fi; \
	if [ -n "$$found" ]; then echo "Not using $$found: version $$(version "$$found"), not $(COMETBFT_PIN)"; fi; \
	command -v go >/dev/null || { echo "CometBFT $(COMETBFT_PIN) must be built, and there is no go on PATH" >&2; exit 1; }; \
	echo "Building CometBFT $(COMETBFT_PIN) (a minute or two)"; \
	networks/build-cometbft $(COMETBFT_PIN) $(COMETBFT)

plugins: toolchain ## The plugins, for wasm32
	@plugins/build.sh $(BUILD)/plugins >/dev/null

plugins-lock: ## Pin the plugins as they are built now
	@rm -rf $(BUILD)/plugins
	@$(MAKE) --no-print-directory plugins
	@{ sed -n '/^#/p' plugins/plugins.lock; cd $(BUILD)/plugins && sha256sum *.wasm; } >$(BUILD)/plugins.lock
	@mv $(BUILD)/plugins.lock plugins/plugins.lock
	@cat $(BUILD)/plugins/passthrough.wasm >host/assets/passthrough.wasm

plugins-verify: toolchain ## The plugins, built in two places and compared with plugins.lock
	@plugins/verify.sh

# Automatic installs by rust-toolchain.toml may be off, so this says it.
toolchain:
	@command -v rustup >/dev/null || { echo "rustup is not installed; see https://rustup.rs" >&2; exit 1; }
	@rustup toolchain list | grep -q '^$(TOOLCHAIN)-' || rustup toolchain install $(TOOLCHAIN) --profile minimal
	@for target in wasm32-unknown-unknown wasm32v1-none; do \
		rustup target list --toolchain $(TOOLCHAIN) --installed | grep -qx $$target \
			|| rustup target add --toolchain $(TOOLCHAIN) $$target || exit 1; \
	done

clippy rustfmt llvm-tools: toolchain
	@rustup component list --toolchain $(TOOLCHAIN) --installed | grep -q '^$@' \
		|| rustup component add --toolchain $(TOOLCHAIN) $@

# Data is removed only when it is certain that nobody uses it: `testnet stop` fails when a node goes on.
clean: ## Stop the nodes; remove their data and what was built (`cargo clean` removes target/)
	@if [ -d $(BUILD)/localnet ]; then $(call need-dseq); $(DSEQ) testnet stop >/dev/null; fi
	rm -rf $(BUILD)/localnet $(DSEQ) $(COMETBFT) $(BUILD)/plugins $(BUILD)/image $(BUILD)/dist $(BUILD)/docs $(BUILD)/coverage

##@ Packages

# docs/install.md says how to use them.
.PHONY: dist
dist: plugins llvm-tools $(RELEASE_TOOLS) ## build/dist: an archive and Debian packages for linux/amd64 and linux/arm64; the same bytes each time
	@$(with-release-tools) networks/dist/build

##@ Docker

# docs/docker.md says what an image holds and how to use it.
.PHONY: build-docker build-docker-local start-docker stop-docker
build-docker: llvm-tools $(RELEASE_TOOLS) ## Images for linux/amd64 and linux/arm64; the same digest each time
	@$(with-release-tools) networks/docker/build all

build-docker-local: llvm-tools $(RELEASE_TOOLS) ## An image for this machine, dseq:local, in Docker
	@$(with-release-tools) networks/docker/build local

start-docker: build-docker-local ## Four nodes in containers, on the ports of `make start`
	@networks/docker/compose up

stop-docker: ## Stop them; the data stays in a volume
	@networks/docker/compose down

# From PyPI, in one step: an interrupted installation leaves nothing behind.
$(ZIGBUILD):
	@python3 -m pip --version >/dev/null 2>&1 || { \
		echo "python3 with pip is needed to install zig; on Debian and Ubuntu: apt-get install python3-pip" >&2; exit 1; }
	@echo "Installing zig $(ZIG_PIN) and cargo-zigbuild $(ZIGBUILD_PIN)"
	@rm -rf $(BUILD)/partial/zig; mkdir -p $(BUILD)/tools
	@python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-compile --target $(BUILD)/partial/zig \
		cargo-zigbuild==$(ZIGBUILD_PIN) ziglang==$(ZIG_PIN)
	@mv $(BUILD)/partial/zig $(patsubst %/bin/,%,$(dir $@))

$(CYCLONEDX):
	@env -u CARGO_TARGET_DIR cargo install --locked --debug --root $(BUILD)/tools/cargo-cyclonedx-$(CYCLONEDX_PIN) cargo-cyclonedx@$(CYCLONEDX_PIN)

$(CYCLONEDX_GO):
	@CGO_ENABLED=0 GOBIN=$(abspath $(@D)) go install -trimpath github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v$(CYCLONEDX_GO_PIN)

##@ Test

.PHONY: test test-coverage test-race e2e check nightly monitor-test test-page test-streams rolling trace-test bench bench-read bench-limits bench-overload bench-wide soak consistency differential fuzz test-many regex test-aarch64 test-docker test-dist
test: plugins rustfmt ## Tests that need no network; some need strace, one clang and lld
	@command -v strace >/dev/null || export DSEQ_SKIP_CRASH="$${DSEQ_SKIP_CRASH:-strace is not installed}"; \
	{ command -v clang && command -v wasm-ld; } >/dev/null || export DSEQ_SKIP_C="$${DSEQ_SKIP_C:-clang or lld is not installed}"; \
	cargo test $(CARGO_FLAGS) --workspace

# Not the crash tests, which stop a node at each of its system calls: with a profile to write there would be others.
test-coverage: plugins llvm-tools ## What of the code `make test` runs: a number, at least tests/coverage/floor, and HTML
	@tests/coverage/run

# Needs Node.js and npm, and a registry; skips aloud without.
test-streams: build ## Durable Streams: the public conformance suite, and the official client on a real node
	@cargo build $(CARGO_FLAGS) -p dseq --example streams-host
	@tests/streams/run

test-race: plugins ## Data races in transport, store and HTTP, by ThreadSanitizer; needs a nightly toolchain
	@tests/race/run

e2e: build $(BYZANTINE) ## Four real nodes, killed and brought back, and one that breaks the rules
	@cargo test $(CARGO_FLAGS) -p dseq --test network -- --ignored --skip rolling:: --skip monitoring:: --skip traces:: --skip page::

check: fmt-check lint doc docs deny plugins-verify e2e test ## All that CI runs

nightly: rolling monitor-test test-page trace-test test-streams differential fuzz test-many regex bench-limits test-race test-coverage test-aarch64 test-docker test-dist ## All that is too long for each change
	@$(MAKE) --no-print-directory soak DURATION=1m
	@$(MAKE) --no-print-directory consistency DURATION=3m

# Needs prometheus (with promtool); skips aloud without.
monitor-test: build ## The real Prometheus against four nodes: queries, alerts, a sick node
	@cargo test $(CARGO_FLAGS) -p dseq --test network -- --ignored --nocapture monitoring::

# Needs chromium; skips aloud without.
test-page: build ## The node's page in headless Chromium, against four nodes
	@cargo test $(CARGO_FLAGS) -p dseq --test network -- --ignored --nocapture page::

rolling: build $(COMETBFT_OLD_BIN) ## A running network moves to the pinned CometBFT, node by node
	@cargo test $(CARGO_FLAGS) -p dseq --test network -- --ignored rolling::

$(COMETBFT_OLD_BIN):
	@echo "Building CometBFT $(COMETBFT_OLD) (a minute or two)"
	@CGO_ENABLED=0 GOBIN=$(abspath $(@D)) go install github.com/cometbft/cometbft/cmd/cometbft@v$(COMETBFT_OLD)

# What it shares with CometBFT is compiled once, because both are built with -trimpath. `go build` knows what is new.
.PHONY: $(BYZANTINE)
$(BYZANTINE): go-pins
	@command -v go >/dev/null || { echo "the byzantine validator of the tests must be built, and there is no go on PATH" >&2; exit 1; }
	@CGO_ENABLED=0 go build -C tests/byzantine -trimpath -o $(abspath $@) .

trace-test: build $(OTELCOL) ## One transaction on four nodes is one trace in OpenTelemetry's collector
	@cargo test $(CARGO_FLAGS) -p dseq --test network -- --ignored traces::

# Its own builder puts it together; the versions are in builder.yaml, which has to go with the builder's. A module that it
# needs only to look at is made here: see there.
$(OTELCOL): tests/network/otelcol/builder.yaml
	@echo "Building OpenTelemetry's collector $(OTELCOL_PIN) (some minutes)"
	@rm -rf $(@D); mkdir -p $(@D)/absent
	@cp $< $(@D); cd $(@D) \
		&& printf 'module github.com/open-telemetry/opentelemetry-collector-contrib/extension/encoding/otlpencodingextension\n\ngo 1.25\n' >absent/go.mod \
		&& printf 'package otlpencodingextension\n' >absent/absent.go \
		&& CGO_ENABLED=0 go run go.opentelemetry.io/collector/cmd/builder@v$(OTELCOL_PIN) --config builder.yaml >build.log 2>&1 \
		|| { tail -5 build.log >&2; exit 1; }

# Another seed each time, unless DSEQ_RANDOM_SEED says which; it is printed.
differential: plugins ## Ten thousand random modules on every wasm engine we know
	@DSEQ_RANDOM_MODULES="$${DSEQ_RANDOM_MODULES:-10000}" DSEQ_RANDOM_SEED="$${DSEQ_RANDOM_SEED:-$$(date +%s)}" \
		cargo test $(CARGO_FLAGS) -p dseq --test differential -- --nocapture

# As above, with DSEQ_FUZZ_SEED.
fuzz: plugins ## A hundred times what the tests try of random input
	@export DSEQ_FUZZ_TIMES="$${DSEQ_FUZZ_TIMES:-100}" DSEQ_FUZZ_SEED="$${DSEQ_FUZZ_SEED:-$$(date +%s)}"; \
		cargo test $(CARGO_FLAGS) -p dseq --test fuzz -- --nocapture \
		&& cargo test $(CARGO_FLAGS) -p dseq --test http fuzzed -- --nocapture

# Each request takes two descriptors, both ends being in one process: as many as the hard limit allows.
test-many: plugins ## Up to ten thousand requests that wait at once, and 5,000 followers
	@most=$$(ulimit -Hn); [ "$$most" != unlimited ] && [ "$$most" -le 21000 ] || most=21000; ulimit -n $$most; \
		export WAITING=$$(((most - 1000) / 2)) DSEQ_FOLLOWERS=5000; echo "$$WAITING requests, $$DSEQ_FOLLOWERS followers"; \
		cargo test $(CARGO_FLAGS) -p dseq --test http -- --nocapture --test-threads 1 \
		a_thousand_requests_wait many_followers_all_get_everything

regex: build ## A plugin with the regex crate, from crates.io, is built and admitted
	@cargo test $(CARGO_FLAGS) -p dseq --test cli -- --ignored regex

# Needs qemu-aarch64-static (qemu-user-static in the distribution).
AARCH64 := aarch64-unknown-linux-musl
test-aarch64: plugins $(ZIGBUILD) ## The same outcomes and app hashes on another processor, emulated
	@command -v qemu-aarch64-static >/dev/null || { echo "qemu-aarch64-static is not on PATH" >&2; exit 1; }
	@cargo build $(CARGO_FLAGS) -p dseq --example outcomes
	@$(with-release-tools) networks/dist/zigbuild arm64 -p dseq --example outcomes --features small-address-space
	@target/release/examples/outcomes >$(BUILD)/outcomes.here
	@qemu-aarch64-static target/$(AARCH64)/release/examples/outcomes >$(BUILD)/outcomes.aarch64
	@diff $(BUILD)/outcomes.here $(BUILD)/outcomes.aarch64 && wc -l <$(BUILD)/outcomes.here | sed 's/$$/ outcomes, the same on both/'

test-docker: plugins ## The images: built twice, run with compose, written to, killed; skipped where there is no Docker
	@tests/docker/run

# As root, it installs the package in a bare root and runs a node there.
test-dist: plugins ## The archive and packages: built twice, checked, installed and run; skipped where a tool is missing
	@tests/dist/run

bench-limits: ## What fuel and admission allow the worst plugins; fails beyond the goals
	@cargo run $(CARGO_FLAGS) -p dseq --example bench-fuel
	@cargo run $(CARGO_FLAGS) -p dseq --example bench-admission

# Needs nginx and curl; skips aloud without.
bench-read: toolchain ## Reading: GET beside nginx on the same file, and how soon followers have a commit
	@cargo build $(CARGO_FLAGS) -p dseq --example bench-read
	@tests/bench/read/run

bench: build ## Our app beside CometBFT's own
	@tests/bench/run

bench-overload: build ## Three times what four nodes carry, over HTTP; fails beyond the goals of docs/overload.md
	@cargo run $(CARGO_FLAGS) -p dseq --example bench-overload

bench-wide: build ## Both profiles of a network over 20, 80 and 200 ms: latency and throughput; five minutes
	@cargo run $(CARGO_FLAGS) -p dseq --example bench-wide

soak: build ## Four nodes for DURATION=30m under load, kills and stops; fails on growth, loss or disagreement
	@cargo run $(CARGO_FLAGS) -p dseq --example soak -- --duration $(or $(DURATION),30m)

# Another seed each time, unless SEED says which; it is printed.
consistency: build ## Kills and stops for DURATION=10m: one sequence must explain what every client saw
	@cargo run $(CARGO_FLAGS) -p dseq --example consistency -- --duration $(or $(DURATION),10m) $(if $(SEED),--seed $(SEED))

##@ Code

.PHONY: fmt fmt-check lint vet doc docs deny go-pins
GO_MODULES := tests/bench/go tests/byzantine
fmt: rustfmt ## Format the code
	@cargo fmt --all
	@gofmt -w $(GO_MODULES)

fmt-check: rustfmt
	@cargo fmt --all --check
	@test -z "$$(gofmt -l $(GO_MODULES))" || { gofmt -d $(GO_MODULES); exit 1; }

# Clients verify formats in browsers too: what the crate for them is made of has to build for wasm.
lint: clippy go-pins ## Clippy; every warning is an error
	@cargo clippy $(CARGO_FLAGS) --workspace --all-targets -- -D warnings
	@for std in --no-default-features --features=std; do \
		cargo clippy --locked --profile plugin --target wasm32-unknown-unknown -p conformance $$std -- -D warnings || exit 1; \
	done
	@cargo build $(CARGO_FLAGS) --target wasm32-unknown-unknown -p dseq-format
	@for module in $(GO_MODULES); do CGO_ENABLED=0 go vet -C $$module ./... || exit 1; done

# They stand for the CometBFT that the networks run, as released.
go-pins:
	@for module in $(GO_MODULES); do \
		grep -q '^	github.com/cometbft/cometbft v$(COMETBFT_PIN)$$' $$module/go.mod \
			|| { echo "$$module/go.mod has another CometBFT than networks/cometbft.version: $(COMETBFT_PIN)" >&2; exit 1; }; \
	done

vet: toolchain ## Does it compile? Faster than lint
	@cargo check $(CARGO_FLAGS) --workspace --all-targets

doc: toolchain ## The documentation; every warning is an error
	@RUSTDOCFLAGS="-D warnings" cargo doc $(CARGO_FLAGS) --workspace --no-deps --document-private-items

# Links, and which commands of the pages are run, are checked by tests (tests/reference, tests/network/page_commands.rs).
docs: $(MDBOOK) ## The book of all pages: build/docs
	@docs/build $(MDBOOK)

# Without what watches and serves a book.
$(MDBOOK):
	@env -u CARGO_TARGET_DIR cargo install --locked --debug --root $(BUILD)/tools/mdbook-$(MDBOOK_PIN) --no-default-features --features search mdbook@$(MDBOOK_PIN)

deny: $(DENY) ## Licences, duplicates and sources of the dependencies
	@echo "Skipped: advisories. Their database is a git repository that not every machine can reach; run \`cargo deny check advisories\` where it can be."
	@$(DENY) --locked check bans licenses sources

$(DENY):
	@env -u CARGO_TARGET_DIR cargo install --locked --debug --root $(BUILD)/tools/cargo-deny-$(DENY_PIN) cargo-deny@$(DENY_PIN)

.PHONY: help
help: ## This
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
