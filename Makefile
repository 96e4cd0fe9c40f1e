# Baton. `make run` starts the product with a demo workspace, `make test` runs every test.
# Everything else is a part of these two.

SHELL := /bin/bash
.DEFAULT_GOAL := help
export CARGO_TERM_COLOR ?= never
WEB_SOURCES := $(shell find web -type f -not -path '*/node_modules/*' -not -path 'web/dist/*' 2>/dev/null)

.PHONY: help run test web check test-rust test-guards test-web test-browser test-fuzz test-api soak bench bench-quick bench-page clean

help: ## What can be made
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

run: web ## Build everything and start Baton with a demo workspace
	cargo build --profile quick --bin baton
	exec target/quick/baton demo

web: web/dist/.built ## Build the console and the widget

web/node_modules/.installed: web/package-lock.json
	cd web && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

web/dist/.built: web/node_modules/.installed $(WEB_SOURCES)
	cd web && npm run build --silent
	@touch $@

check: web ## Format, lints, docs, licences and sources of dependencies, web types and catalogues
	cargo fmt --all --check
	cargo clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items
	tools/check-dependencies
	cd web && npm run check --silent

test: web test-rust test-guards test-web test-browser test-fuzz test-api ## Install what tests need if missing, run every test

test-rust: web
	tools/install-test-tools
	tools/with-postgres cargo test

test-guards: web
	tools/install-test-tools
	tools/break-guards

test-web: web/node_modules/.installed
	cd web && npm test --silent

test-browser: web
	tools/install-test-tools
	cargo build --bin baton
	cd tests/browser && npm ci --no-audit --no-fund --loglevel=error && ../../tools/with-postgres npm test --silent

test-fuzz:
	tools/install-test-tools
	tools/fuzz

test-api: web
	tools/install-test-tools
	cargo build --bin baton
	tools/check-api

soak: ## What takes longer: thousands of seeds, ten minutes of two nodes being killed
	PROPTEST_CASES=20000 cargo test --lib conversation::property
	BATON_TEST_MODEL=deep cargo test --lib conversation::model_check -- --nocapture --test-threads 1
	BATON_TEST_SEEDS=5000 cargo test --lib sim::
	BATON_TEST_CHAOS_SECONDS=600 BATON_TEST_TAKEOVERS=1000 tools/with-postgres cargo test --test journeys -- --nocapture \
	  chaos:: nodes::a_takeover_silences_the_node_that_writes

bench: web ## What a turn costs, beside the limits of this machine: writes benches/measured.json and docs/BENCHMARKS.md
	tools/install-test-tools
	cargo bench --no-run --bench load
	tools/with-postgres --durable cargo bench --bench load

bench-quick: web ## The same in two or three minutes, to see that it runs: writes nothing
	tools/install-test-tools
	cargo bench --no-run --bench load
	tools/with-postgres --durable cargo bench --bench load -- --quick

bench-page: ## Write docs/BENCHMARKS.md again from the figures of the last run
	cargo bench --bench load -- --page

clean: ## Remove everything that was built
	rm -rf target web/dist web/node_modules web/*/node_modules tests/browser/node_modules .tools
