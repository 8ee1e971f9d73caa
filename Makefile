# Every step that people and CI run. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
SYSROOT := $(shell rustc --print sysroot 2>/dev/null)
# init-sync is less than half as large with musl, and starts sooner. Asked when it is built: `setup` may have added it.
MUSL := $(subst -gnu,-musl,$(HOST))
INIT_TARGET = $(if $(wildcard $(SYSROOT)/lib/rustlib/$(MUSL)/lib/libstd-*.rlib),$(MUSL),$(HOST))
CARGO_HOME ?= $(HOME)/.cargo
# An explicit target keeps the flags away from build scripts and macros, which cannot be static. Without the paths of
# this machine the same sources give the same bytes everywhere.
# Packed relocations take 6 kB instead of 425, on disk and in memory. A static glibc applies them since 2.36.
PACKED := $(shell getconf GNU_LIBC_VERSION 2>/dev/null \
  | awk '{ split($$2, v, "."); if (v[1] > 2 || v[2] >= 36) print "-C link-arg=-Wl,-z,pack-relative-relocs" }')
STATIC := RUSTFLAGS="-C target-feature=+crt-static $(PACKED) --remap-path-prefix=$(CARGO_HOME)=cargo --remap-path-prefix=$(CURDIR)=."
# It is pulled by every node; what it may weigh is part of its contract.
INIT_SYNC_BYTES = $(if $(findstring musl,$(INIT_TARGET)),550000,1250000)
FUZZ_SECONDS ?= 60
FUZZ_TARGETS := review profile manifest
# Arguments of the demo and the bench: `make demo ARGS=--keep` leaves everything up for a look around.
ARGS ?=

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Check the toolchains and install what Debian or Ubuntu have
	@tests/setup.sh

.PHONY: build
build: setup ## Build both release binaries, static, into target/bin
	$(STATIC) cargo build --locked --release --target $(HOST) -p spark-injector
	$(STATIC) cargo build --locked --release --target $(INIT_TARGET) -p init-sync
	@mkdir -p target/bin
	@install -m 0755 target/$(HOST)/release/spark-injector target/$(INIT_TARGET)/release/init-sync target/bin/
	@ls -l target/bin | awk 'NR > 1 { printf "  target/bin/%s  %.2f MB\n", $$NF, $$5 / 1e6 }'

.PHONY: demo
demo: build ## Real Spark submits to a real API server: see what is injected
	@cargo run --locked -p acceptance --bin demo -- $(ARGS)

.PHONY: test
test: build lint doc drift ## Everything that has to pass: format, lints, docs, all tests
	cargo test --locked --workspace
	@$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=10

.PHONY: unit
unit: ## Unit, property and golden tests that need no API server
	cargo test --locked --workspace --exclude acceptance

.PHONY: acceptance
acceptance: build ## Tests against a real API server and real Spark
	cargo test --locked -p acceptance

.PHONY: images
images: build ## Both images as OCI archives in target/images, without a daemon
	manifests/images.py

.PHONY: node
node: images ## Manifests, images and Spark jobs on a real node (root, control groups v1); writes docs/node/DATE.md
	@mkdir -p docs/node
	cargo run --locked -p acceptance --bin node -- --report docs/node/$$(date +%F).md $(ARGS)

.PHONY: chaos
chaos: build ## Faults and load on a real API server, about an hour (ARGS=--soak=5 for less); writes docs/chaos/DATE.md
	@mkdir -p docs/chaos
	cargo run --locked -p acceptance --bin chaos -- --report docs/chaos/$$(date +%F).md $(ARGS)

.PHONY: lint
lint: setup ## Format and lints
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

.PHONY: deny
deny: ## Licences, sources and banned crates among all dependencies, as deny.toml says (needs cargo-deny)
	@command -v cargo-deny >/dev/null || { echo "cargo-deny is missing: cargo install --locked cargo-deny" >&2; exit 1; }
	cargo deny --locked check bans licenses sources

.PHONY: doc
doc: setup ## API documentation, without warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --quiet --workspace --no-deps --document-private-items

.PHONY: drift
drift: build ## Generated files are as the code says, binaries are static and small
	@for binary in target/bin/*; do ldd "$$binary" 2>&1 | grep -qE 'statically linked|not a dynamic executable' \
	  || { echo "$$binary is not static" >&2; exit 1; }; done
	@test "$$(stat -c %s target/bin/init-sync)" -le $(INIT_SYNC_BYTES) \
	  || { echo "target/bin/init-sync has more than $(INIT_SYNC_BYTES) bytes" >&2; exit 1; }
	@target/bin/spark-injector crd | diff -u manifests/base/crd.yaml - \
	  || { echo "manifests/base/crd.yaml is stale: run \`make crd\`" >&2; exit 1; }
	@grep -oE '[a-z0-9_/-]+\.rs::[a-z0-9_]+' docs/promises.md | sort -u | while IFS= read -r proof; do \
	  grep -qE "fn $${proof##*::}\b" "$${proof%%::*}" || { echo "docs/promises.md: there is no $$proof" >&2; exit 1; }; done

.PHONY: crd
crd: build ## Write the CustomResourceDefinition
	target/bin/spark-injector crd > manifests/base/crd.yaml

.PHONY: golden
golden: build ## Write the golden files anew; read the difference before you commit it
	REFRESH_GOLDEN=1 cargo test --locked -p acceptance golden

.PHONY: order
order: build ## List the functions that a server runs, for the linker, in 20 minutes (needs valgrind, openssl, x86_64)
	cargo build --locked --release -p bench
	$(STATIC) cargo rustc --locked --release --target $(HOST) -p spark-injector --bin spark-injector -- \
	  -C link-arg=-Wl,-Map=$(CURDIR)/target/functions.map -C link-arg=-Wl,--no-demangle
	tests/order.py target/$(HOST)/release/spark-injector target/functions.map target/release/bench webhook/functions.order

.PHONY: bench
bench: build ## Measure against references, interleaved in one run (ARGS=--quick for a look)
	cargo run --locked --release -p bench -- $(ARGS)

.PHONY: fuzz
fuzz: setup ## Fuzz all that takes in foreign bytes, FUZZ_SECONDS for each target
	@for target in $(FUZZ_TARGETS); do \
	  echo "fuzz: $$target for $(FUZZ_SECONDS) s, after a build with instrumentation …"; \
	  tests/fuzz/run.sh $$target $(FUZZ_SECONDS) 2>&1 | grep -v -e '# Uses:' -e 'recommended dictionary'; \
	done

.PHONY: fuzz-corpus
fuzz-corpus: setup ## Keep what the fuzzer found worth keeping, in tests/fuzz/corpus
	@for target in $(FUZZ_TARGETS); do tests/fuzz/run.sh $$target merge; done

.PHONY: clean
clean: ## Remove what was built here; the caches of the control plane and of Spark stay
	cargo clean
