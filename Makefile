# Lockstep. `make demo` shows it at work, `make test` passes the tests; both install what they need (Debian, as root).
GO      ?= go
BIN     := bin/lockstep
PKGS    := ./...
FUZZ    ?= 10s
CGO     := CGO_ENABLED=0
REV     := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
LDFLAGS := -X lockstep/node.Revision=$(REV)

.PHONY: all build demo test sim sim-short sim-levels soak sim-bugs explore explore-short book-long fmt vet staticcheck generate generate-check unit race fuzz system examples demo-check report-check bench bench-journal bench-opening peers peers-check clean deps deps-generate litmus crash-image client-c

all: build

build: ## bin/lockstep, which runs from any directory without the source tree
	@$(CGO) $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/lockstep

demo: build ## three nodes over AF_XDP (kernel UDP where that is not to be had), orders, a killed leader, the proof
	@$(BIN) demo $(DEMO)

STAGES  := deps fmt vet staticcheck generate-check unit race fuzz client-c sim-short sim-bugs explore-short system demo-check report-check

test: ## everything that CI runs, one stage after the other
	@scripts/stages $(STAGES)
	@echo "make test: all passed"

deps: ## a C compiler for the race detector, curl for an example
	@scripts/install-packages gcc:gcc libc-dev:/usr/include/stdio.h curl:curl

fmt:
	@bad=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$bad" ] || { echo "gofmt would change:"; echo "$$bad"; exit 1; }

vet:
	@$(GO) vet $(PKGS)
	@$(GO) vet -tags simbug $(PKGS)
	@cd examples/reservations && $(GO) vet $(PKGS)

staticcheck:
	@$(GO) tool staticcheck $(PKGS)

deps-generate:
	@scripts/install-packages clang:clang llvm:llvm-strip libbpf-dev:/usr/include/bpf/bpf_helpers.h \
	  linux-libc-dev:/usr/include/linux/bpf.h flatbuffers-compiler:flatc

generate: deps-generate ## regenerates the schemas' code (wire, services) and the XDP object
	@$(GO) generate ./wire ./service/... ./xdp

generate-check: ## generated files are up to date (where the compilers are the ones they were made with)
	@scripts/generate-check

# Their tests run clusters of real processes, which want the machine for themselves.
CLUSTERS := lockstep/command lockstep/internal/tutorial lockstep/internal/lab

unit:
	@$(CGO) $(GO) test -timeout 30m $(filter-out $(CLUSTERS),$(shell $(GO) list $(PKGS)))
	@$(CGO) $(GO) test -timeout 30m -p 1 $(CLUSTERS)

race: ## the packages that share memory between threads
	@$(GO) test -race -short -timeout 30m ./ringbuf ./agent ./internal/counters ./transport ./journal ./service ./replica ./sequencer ./client ./node

client-c: deps ## builds the client in C (examples/c) and passes its own tests
	@$(MAKE) --no-print-directory -C examples/c all check

fuzz: ## every fuzz target for $(FUZZ)
	@scripts/fuzz $(FUZZ)

system: build ## real processes in network namespaces over real AF_XDP
	@$(CGO) LOCKSTEP_SYSTEM=1 $(GO) test -v -count=1 -timeout 15m ./internal/system
	@$(CGO) LOCKSTEP_EXAMPLES=docs $(GO) test -v -count=1 -timeout 10m -parallel 3 ./internal/examples
	@$(CGO) LOCKSTEP_TUNE_HOST=1 $(GO) test -v -count=1 -run TestThisHost ./tuning

examples: build ## every command that the documents mark, and that --help of bench and tune shows, each for a moment
	@$(CGO) LOCKSTEP_EXAMPLES=all $(GO) test -v -count=1 -timeout 30m -parallel 1 ./internal/examples

report-check: ## a report of measured rows in a real browser; pictures of it are in out/report
	@scripts/install-packages chromium:chromium || true
	@$(CGO) LOCKSTEP_REPORT=$(CURDIR)/out/report $(GO) test -v -count=1 -run InABrowser ./bench/report

demo-check: build ## the demo itself, over AF_XDP in both modes and over kernel UDP
	@scripts/demo-check

SEEDS   ?= 2000
HOURS   ?= 1
SIM     := bin/lockstep-sim

sim: ## fresh worlds of the simulator (SEEDS=n), or one world again (SEED=n)
	@$(CGO) $(GO) build -trimpath -o $(SIM) ./cmd/lockstep-sim
	@$(SIM) $(if $(SEED),-seed $(SEED),$(if $(FROM),-from $(FROM)) -seeds $(SEEDS) -sometimes)

sim-short: ## what CI runs of it: the same worlds every time, so that a failure is the change's
	@$(MAKE) --no-print-directory sim SEEDS=1000 FROM=1

LEVELS  ?= 100

sim-levels: ## what acknowledgements of each level are worth, by fault (LEVELS=n worlds of each); `make unit` has a few
	@$(CGO) $(GO) build -trimpath -o $(SIM) ./cmd/lockstep-sim
	@$(SIM) -levels $(LEVELS) -from 1

soak: ## the simulator for HOURS=n
	@$(CGO) $(GO) build -trimpath -o $(SIM) ./cmd/lockstep-sim
	@$(SIM) -seeds 0 -for $(HOURS)h

sim-bugs: ## the simulator against planted bugs, or one (BUG=name): it must catch every one
	@$(CGO) $(GO) build -trimpath -tags simbug -o $(SIM)-bugs ./cmd/lockstep-sim
	@$(SIM)-bugs -bugs -from 1 $(if $(BUG),-only $(BUG))
	@$(if $(BUG),,$(CGO) $(GO) test -count=1 -tags simbug -run TestScenariosCatchWhatTheySayTheyCatch ./internal/sim)
	@$(if $(BUG),,$(CGO) $(GO) test -count=1 -tags simbug -run TestSchedulesFindPlantedBugs ./replica)

explore: ## every state that small clusters of the consensus core can get into: minutes, 2 GiB of memory
	@$(CGO) LOCKSTEP_EXPLORE=full $(GO) test -v -count=1 -timeout 60m ./internal/explore
	@$(CGO) LOCKSTEP_EXPLORE=full $(GO) test -v -count=1 -tags simbug -run CoreBugs ./internal/explore

explore-short: ## the same with tighter bounds: what CI runs of it
	@$(CGO) LOCKSTEP_EXPLORE=short $(GO) test -v -count=1 -timeout 10m -run 'Worlds|Planted|Renaming' ./internal/explore
	@$(CGO) LOCKSTEP_EXPLORE=short $(GO) test -v -count=1 -tags simbug -run CoreBugs ./internal/explore

CALLS   ?= 10000000

book-long: ## the matching engine against a book that is searched for everything, for CALLS=n calls (SEED=n to begin with)
	@LOCKSTEP_BOOK_CALLS=$(CALLS) LOCKSTEP_BOOK_SEED=$(or $(SEED),1) $(CGO) $(GO) test -v -count=1 -timeout 6h \
	  -run 'Model|Stops' ./service/orderbook/match

IMAGES  ?= 60

crash-image: ## power cuts on a loop-mounted ext4 image under load (IMAGES=n), as root; `make unit` has a few
	@LOCKSTEP_IMAGE_ROUNDS=$(IMAGES) $(CGO) $(GO) test -v -count=1 -timeout 30m -run CrashImage ./journal

litmus: ## the ring litmus tests at full length
	@LOCKSTEP_LITMUS_N=10000000 $(GO) test -count=1 -timeout 60m -run Litmus ./ringbuf ./agent

bench: ## micro benchmarks of every package
	@$(CGO) $(GO) test -run '^$$' -bench . -benchmem $(PKGS)

bench-journal: build ## the journal alone, beside bare writes and fio (DIR=where)
	@scripts/install-packages fio:fio || true
	@bin/lockstep bench journal --dir $(or $(DIR),/tmp) --rounds 5

bench-opening: build ## starts of a node with ten million records: from snapshots, and from the beginning (DIR=where)
	@bin/lockstep bench opening --dir $(or $(DIR),/tmp) --records 10000000 --behind 100000,1000000

ROUNDS  ?= 3

peers: build ## other replicated systems beside this one, ROUNDS=n, to out/peers.json; fetches what they depend on
	@mkdir -p out
	@bin/lockstep bench peers --rounds $(ROUNDS) --json out/peers.json $(PEERS)

peers-check: build ## the module that measures them: vet, staticcheck, its tests, and every system for a moment
	@cd bench/peers && $(GO) vet $(PKGS) && "$$($(GO) -C ../.. tool -n staticcheck)" $(PKGS) && $(CGO) $(GO) test -count=1 $(PKGS)
	@bin/lockstep bench peers --seconds 0.5 --warmup 0.2 --series closed,500,500x20

clean:
	@rm -rf bin out
