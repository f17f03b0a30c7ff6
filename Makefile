# authproxy: build, test and try it. "make" alone lists what there is.

GO      ?= go
BIN     := bin
CMDS    := authproxy keystone-all keystone-manage
# Race tests need cgo, that is a C compiler and the C library's headers; .ci/run always has them.
RACE     = $(shell echo 'int main(void) { return 0; }' | $${CC:-cc} -include stdlib.h -x c -o /dev/null - 2>/dev/null && echo -race)
FUZZTIME ?= 30s
BENCH   ?= .
BENCHTIME ?= 1s
PEERTIME ?= 3s
PEERROUNDS ?= 5
# RESULTS=FILE.md measures as the work grows, too, and writes all to the file with a plot beside it; 100,000 tokens are for that.
RESULTS ?=
TOKENS  ?= $(if $(RESULTS),100000,10000)

.DEFAULT_GOAL := help
.PHONY: help demo build test lint fuzz bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build ## show the whole chain on this machine: log in, use the token, revoke it (KEEP=1 leaves it running)
	@CGO_ENABLED=0 $(GO) build -o $(BIN)/echo ./examples/echo
	@CGO_ENABLED=0 $(GO) run ./examples/demo -bin $(BIN) $(if $(KEEP),-keep)

build: ## build the programs into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/ $(addprefix ./cmd/,$(CMDS))

test: ## run all tests, with the race detector where there is a C compiler
	$(GO) test $(RACE) -shuffle=on -count=1 -timeout 20m ./...

lint: ## vet, staticcheck, gofmt, and known vulnerabilities where their database can be reached
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || { echo "gofmt wants: $$unformatted"; exit 1; }
	@$(GO) tool govulncheck ./...; status=$$?; \
		if [ $$status -eq 3 ]; then exit 3; fi; \
		if [ $$status -ne 0 ]; then echo "govulncheck could not run here (its database is fetched from the Internet): not checked"; fi

# The fuzzer now and then takes the end of its own time for a failure ("context deadline exceeded", and no failing input).
fuzz: ## fuzz each target for FUZZTIME (30s)
	@for package in $$(grep -l '^func Fuzz' $$(git ls-files '*_test.go') | xargs -n 1 dirname | sort -u); do \
		for target in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$package/*_test.go | cut -c 6-); do \
			echo "$$package $$target"; \
			if out=$$($(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x ./$$package 2>&1); then \
				echo "$$out" | tail -n 1; \
			elif echo "$$out" | grep -q 'context deadline exceeded' && ! echo "$$out" | grep -q 'Failing input'; then \
				echo "ok (its time was over)"; \
			else \
				echo "$$out"; exit 1; \
			fi; \
		done; \
	done

bench: build ## benchmarks of the packages, then authproxy beside its peers (BENCH=regexp BENCHTIME=1s PEERTIME=3s RESULTS=file.md)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) ./...
	CGO_ENABLED=0 $(GO) build -o $(BIN)/bench ./examples/bench
	$(BIN)/bench -bin $(BIN) -duration $(PEERTIME) -rounds $(PEERROUNDS) -tokens $(TOKENS) $(if $(RESULTS),-results $(RESULTS))

clean: ## remove what build made
	rm -rf $(BIN)
