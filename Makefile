SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GOLANGCI_VERSION := v2.15.0
GOVULNCHECK_VERSION := v1.9.0
ACTIONLINT_VERSION := v1.7.12
GORELEASER_VERSION := v2.15.1
# The version is in the path, so that a new one is installed.
GOLANGCI := .tools/golangci-lint-$(GOLANGCI_VERSION)/golangci-lint
ACTIONLINT := .tools/actionlint-$(ACTIONLINT_VERSION)/actionlint
GORELEASER := .tools/goreleaser-$(GORELEASER_VERSION)/goreleaser

# A broker that is there already is used as it is, and none is installed.
BROKER := $(if $(MESSAGING_TEST_URL),,rabbitmq)

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Producer and workers in one process, on the in-memory broker
	@go run ./apps/hello

.PHONY: test
test: ## Everything under -race, against real RabbitMQ and PostgreSQL; installs what is missing (Debian, Ubuntu)
	@internal/tools/install.sh $(BROKER) pika postgresql cc
	@go run ./internal/tools/gotest -race -count=1 -timeout=20m ./...

.PHONY: test-unit
test-unit: ## The tests that need no broker
	@go test -short -count=1 ./...

.PHONY: cover
cover: ## Coverage of all tests, by function and as coverage.html
	@internal/tools/install.sh $(BROKER) pika postgresql
	@go test -count=1 -timeout=20m -coverpkg=./... -coverprofile=coverage.out ./...
	@go tool cover -html=coverage.out -o coverage.html
	@go tool cover -func=coverage.out
	@echo 'Line by line: coverage.html'

.PHONY: lint
lint: $(GOLANGCI) ## Format, go.mod, vet and golangci-lint (the first run installs it)
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "not formatted, run make fmt:"; echo "$$unformatted"; exit 1; }
	@go mod tidy -diff
	@go vet ./...
	@$(GOLANGCI) run ./...

$(GOLANGCI):
	@echo 'Installing golangci-lint $(GOLANGCI_VERSION) into .tools, which takes a few minutes.'
	@GOBIN=$(CURDIR)/$(@D) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

.PHONY: packaging-test
packaging-test: $(ACTIONLINT) $(GOLANGCI) ## Dockerfile, compose.yaml, versions and workflows, without a container engine
	@internal/tools/install.sh rabbitmq
	@$(ACTIONLINT)
	@cd internal/tools/packaging && go mod tidy -diff && go vet ./... && go test -count=1 ./...
	@cd internal/tools/packaging && $(CURDIR)/$(GOLANGCI) run ./...

$(ACTIONLINT):
	@GOBIN=$(CURDIR)/$(@D) go install github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT_VERSION)

.PHONY: release-check
release-check: $(GORELEASER) ## A release's configuration, and its programs for this machine (installing GoReleaser takes a while)
	@$(GORELEASER) check
	@$(GORELEASER) build --snapshot --clean --single-target

.PHONY: release
release: $(GORELEASER) ## Publish the tag that is checked out, as a draft (what the workflow release does)
	@$(GORELEASER) release --clean

$(GORELEASER):
	@echo 'Installing GoReleaser $(GORELEASER_VERSION) into .tools, which takes some minutes.'
	@GOBIN=$(CURDIR)/$(@D) go install github.com/goreleaser/goreleaser/v2@$(GORELEASER_VERSION)

.PHONY: fmt
fmt: ## Format the code
	@gofmt -w .

.PHONY: vuln
vuln: ## Known vulnerabilities in the dependencies (needs the Internet)
	@go run golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION) ./...

.PHONY: parity
parity: ## Run the contract on every adapter and RabbitMQ version, and write docs/parity.md
	@internal/tools/install.sh rabbitmq debootstrap
	@go run ./internal/tools/parity

.PHONY: bench
bench: ## Speed beside that of others, in ten minutes, as docs/benchmarks.md
	@internal/tools/install.sh rabbitmq
	@cd bench && go run -mod=mod . --page ../docs/benchmarks.md

.PHONY: bench-quick
bench-quick: ## The ratios that have targets, in a minute and a half
	@internal/tools/install.sh rabbitmq
	@cd bench && go run -mod=mod . --quick

.PHONY: scaling
scaling: ## What passes through one queue, several, and a cluster, as figures in docs/scaling.md
	@internal/tools/install.sh rabbitmq
	@cd bench && go run -mod=mod ./scaling -page ../docs/scaling.md

.PHONY: bench-test
bench-test: $(GOLANGCI) ## The tests and linters of bench, which is a module of its own
	@cd bench && go mod tidy -diff && go vet ./... && go test -count=1 ./...
	@cd bench && $(CURDIR)/$(GOLANGCI) run ./...

.PHONY: pictures
pictures: ## Draw the pictures of queues in the guides from their descriptions
	@go run ./internal/tools/pictures docs/patterns

.PHONY: examples-test
examples-test: $(GOLANGCI) ## The tests and linters of examples, each a module of its own
	@internal/tools/install.sh cc
	@for dir in examples/*/; do (cd $$dir && go mod tidy -diff && go vet ./... && go test -race -count=1 ./... && $(CURDIR)/$(GOLANGCI) run ./...); done

.PHONY: docs-check
docs-check: ## Run every command, program and block of README.md and docs, and follow their links
	@internal/tools/install.sh rabbitmq pika
	@go run ./internal/tools/docscheck

.PHONY: readme-pictures
readme-pictures: ## Record make demo for README.md
	@$(MAKE) demo >/dev/null # compiles it, which is not what the picture is about
	@go run ./internal/tools/recording -o docs/images/demo.svg make demo

.PHONY: chaos
chaos: ## Break nodes, clusters, networks and programs under load, and count (15 minutes)
	@internal/tools/install.sh rabbitmq
	@go run ./internal/tools/chaos -page docs/reliability.md

.PHONY: chaos-short
chaos-short: ## Every kind of fault with smaller numbers (3 minutes)
	@internal/tools/install.sh rabbitmq
	@go run ./internal/tools/chaos -short

.PHONY: soak
soak: ## A million messages and ten thousand subscriptions on each broker: nothing may grow
	@internal/tools/install.sh rabbitmq
	@go run ./internal/tools/soak

# How long each fuzz test runs.
FUZZTIME ?= 1m

.PHONY: fuzz
fuzz: ## Each fuzz test for FUZZTIME (1m); what fails is kept in testdata/fuzz, and run by make test
	@grep -rl --include='*_test.go' '^func Fuzz' . | grep -v '^./bench/' | sort | while read -r file; do \
		for name in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file"); do \
			echo "$$(dirname "$$file") $$name"; \
			go test "$$(dirname "$$file")" -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME); \
		done; \
	done

.PHONY: rabbitmq-install
rabbitmq-install: ## Install RabbitMQ (Debian, Ubuntu)
	@internal/tools/install.sh rabbitmq

.PHONY: rabbitmq-up
rabbitmq-up: ## Start a local RabbitMQ for trying things
	@internal/tools/install.sh rabbitmq
	@go run ./internal/tools/rabbitmq up

.PHONY: rabbitmq-down
rabbitmq-down: ## Stop it
	@go run ./internal/tools/rabbitmq down
