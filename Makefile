# Leat. make prints the targets.

export CGO_ENABLED ?= 0
GO      ?= go
TOOL     = $(GO) tool -modfile=tools/go.mod
FUZZTIME ?= 30s
TORTURE  ?= 20

.PHONY: help build test race lint fmt gen fuzz torture bench
help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 10

build: ## build ./bin/leat, static
	$(GO) build -trimpath -ldflags '-s -w' -o bin/leat ./cmd/leat

test: ## run all tests; LEAT_TEST_ALL=1 makes a skip a failure
	./.ci/prepare
	$(GO) vet ./...
	$(GO) test -timeout 20m ./...

race: ## run all tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -timeout 60m ./...

lint: ## check style and formatting, and that generated files are up to date
	$(TOOL) golangci-lint run ./...
	$(GO) run ./internal/configdoc/cmd -check

fmt: ## format
	$(TOOL) gofumpt -w $$(git ls-files '*.go')

gen: ## write the generated files
	$(GO) run ./internal/configdoc/cmd

fuzz: ## run every fuzz target for FUZZTIME (30s)
	./.ci/fuzz $(FUZZTIME)

torture: ## crash the engine and the binary TORTURE (20) times as often as the tests do
	LEAT_TORTURE=$(TORTURE) $(GO) test -timeout 4h -v -run 'Crash|Torture|Error|Repair|Damage|Power' ./stream/local ./internal/torture ./test/clients

bench: ## compare with floors and rivals in one run
	./.ci/bench
