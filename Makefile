# Everything a developer does here, by name. The scripts behind the names also work alone.

IMAGE ?= Samples/s390x/pagetables.elf.zst
SOURCES = Sources Tests Benchmarks Package.swift

.PHONY: rules check-all check-protocols check-sanitizers help run test check format bench docs fuzz check-guests matrix

help:
	@echo "make run [IMAGE=...]      build and show what an image is"
	@echo "make test                 install what tests need and run them (./verify)"
	@echo "make check                formatting, imports, a release build without warnings, Embedded Swift, all scenarios"
	@echo "make format               format all sources in place"
	@echo "make bench                benchmarks, each paired with the same loop in C"
	@echo "make docs                 API documentation, into .build/documentation"
	@echo "make fuzz [INPUTS=...]    mutated and truncated images, 100,000 of them"
	@echo "make check-guests DIR=... full captures in a folder against their oracles"
	@echo "make check-all            every scenario in every memory model, all mutants, all sanitizers: hours"
	@echo "make check-protocols      explore all scenarios, then take each safety rule out of the source"
	@echo "make check-sanitizers     stress under the thread and the address sanitizer"
	@echo "make matrix               rewrite the support matrix in Documentation"
	@echo "make rules                rewrite the table of safety rules in Documentation"

run:
	@scripts/install-packages
	swift build -c release --product pagewalk
	"$$(swift build -c release --show-bin-path)/pagewalk" info "$(IMAGE)"

test:
	@./verify

format:
	swift format -i -r $(SOURCES)

check:
	scripts/check

bench:
	@scripts/install-packages zstd
	swift build -c release --product pagewalk
	swift run -c release --package-path Benchmarks --scratch-path .build/benchmarks benchmarks \
		--pagewalk "$$(swift build -c release --show-bin-path)/pagewalk" $(ARGUMENTS)

docs:
	scripts/build-docs

INPUTS ?= 100000
fuzz:
	PAGEWALK_FUZZ_INPUTS=$(INPUTS) swift test -c release -Xswiftc -enable-testing --filter MutationTests

check-guests:
	@test -n "$(DIR)" || { echo "usage: make check-guests DIR=folder-of-captures" >&2; exit 2; }
	PAGEWALK_GUESTS="$(abspath $(DIR))" swift test -c release -Xswiftc -enable-testing --filter FullCaptureTests

matrix:
	PAGEWALK_WRITE_MATRIX=1 swift test --filter SupportMatrixTests

rules:
	PAGEWALK_WRITE_RULES=1 swift test --filter RuleTableTests

check-all:
	swift run -c release pagewalk check --model all
	scripts/check-mutants
	scripts/check-sanitizers

check-protocols:
	swift run -c release pagewalk check
	scripts/check-mutants

check-sanitizers:
	@scripts/install-packages
	scripts/check-sanitizers
