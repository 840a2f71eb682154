package lint

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
)

// edges names every import that one package of the module may make of another, outside tests. It goes down only:
//
//	cmd -> command -> bench, tuning, node, internal/lab -> sequencer, service, replica, client -> journal, transport -> xdp
//	    -> ringbuf, agent, wire;  internal/counters and internal/vfs below all
//
// What clusters to try things on are made of (internal/lab, testnet) is imported by tests, by command and by internal/lab;
// internal/orderflow and internal/mixflow by what generates load.
var edges = map[string][]string{
	"wire/fb":           {},
	"wire/flat":         {},
	"wire":              {"wire/fb", "wire/flat"},
	"ringbuf":           {},
	"internal/counters": {},
	"internal/vfs":      {},
	"internal/btree":    {},
	"internal/blocks":   {},
	"agent":             {"internal/counters", "agent/tsc", "ringbuf"},
	"agent/tsc":         {},

	"xdp":       {"internal/counters", "ringbuf", "xdp/nic"},
	"xdp/nic":   {},
	"transport": {"internal/counters", "agent", "ringbuf", "xdp"},
	"journal":   {"internal/counters", "internal/simbug", "internal/vfs", "agent", "ringbuf", "wire"},

	"journal/snapshot": {"internal/vfs", "wire"},

	"service/fb":        {},
	"service":           {"internal/counters", "internal/simbug", "agent", "ringbuf", "service/fb", "wire", "wire/flat"},
	"service/echo":      {"service", "wire"},
	"service/kv/fb":     {},
	"service/lock/fb":   {},
	"service/lock":      {"internal/simbug", "internal/blocks", "internal/btree", "internal/watch", "service", "service/lock/fb", "service/slab", "wire", "wire/flat"},
	"internal/watch":    {"service", "wire"},
	"service/kv":        {"internal/simbug", "internal/blocks", "internal/btree", "internal/watch", "service", "service/kv/fb", "service/slab", "wire", "wire/flat"},
	"service/orderbook": {"internal/simbug", "service", "service/orderbook/fb", "service/orderbook/match", "service/slab", "wire", "wire/flat"},
	"service/queue/fb":  {},
	"service/queue":     {"internal/simbug", "service", "service/queue/fb", "service/slab", "wire", "wire/flat"},
	"service/timer/fb":  {},
	"service/timer":     {"internal/simbug", "internal/watch", "service", "service/slab", "service/timer/fb", "wire", "wire/flat"},
	"service/slab":      {}, // the standard library only
	"replica":           {"internal/counters", "internal/simbug", "agent", "ringbuf", "wire", "journal", "transport"},
	"sequencer":         {"internal/counters", "internal/simbug", "agent", "ringbuf", "wire", "transport", "service"},
	"client":            {"internal/counters", "internal/simbug", "agent", "wire", "transport"},

	"service/orderbook/match": {}, // the standard library only
	"service/orderbook/fb":    {},

	"tuning":        {"agent", "xdp/nic"},
	"tuning/jitter": {"agent", "agent/tsc"},
	"node": {"internal/counters", "internal/simbug", "internal/vfs", "agent", "agent/tsc", "ringbuf", "wire", "journal", "journal/snapshot", "transport", "xdp", "xdp/nic",
		"replica", "sequencer", "service", "service/echo", "service/kv", "service/lock", "service/orderbook", "service/queue",
		"service/timer", "tuning"},
	"bench": {"internal/history", "internal/orderflow", "internal/vfs", "agent", "ringbuf", "wire", "journal", "transport", "xdp", "client", "service",
		"service/orderbook", "service/orderbook/fb", "service/orderbook/match", "bench/recorded", "tuning", "tuning/jitter"},
	// Order flow that somebody recorded.
	"bench/recorded": {"internal/orderflow", "service/orderbook", "service/orderbook/match"},
	// A page of what it measured.
	"bench/report": {"wire", "bench"},

	// An order book to compare with; imported by tests.
	"internal/bookmodel": {"service/orderbook/match"},
	// Reads a dump, and knows nothing of the book.
	"internal/bookaudit": {},

	"internal/lint":     {},
	"internal/system":   {},
	"internal/examples": {},
	"internal/testnet":  {},
	"internal/flattest": {"wire/flat"},
	// Rigs for services; imported by tests.
	"internal/servicetest": {"service", "wire"},
	"internal/orderflow":   {"service/orderbook", "service/orderbook/match"},
	"internal/history":     {},
	"internal/judge": {"internal/bookaudit", "internal/history", "internal/inspect", "wire", "service", "service/kv", "service/lock", "service/lock/fb", "service/queue", "service/queue/fb",
		"service/timer", "service/timer/fb"},
	"internal/mixflow": {"service", "service/kv", "service/lock", "service/orderbook", "service/orderbook/match", "service/queue", "service/queue/fb", "service/timer"},
	"internal/simbug":  {},
	"internal/explore": {"wire", "replica"},
	"internal/sim": {"internal/counters", "internal/vfs", "internal/history", "internal/judge", "internal/mixflow", "internal/orderflow", "agent", "ringbuf", "wire",
		"transport", "journal", "journal/snapshot", "replica", "sequencer", "service", "service/lock", "service/orderbook", "service/queue", "service/timer",
		"client", "node"},

	// What `lockstep journal` is made of; journaltest is imported by tests.
	"internal/inspect": {"internal/vfs", "wire", "journal", "journal/snapshot", "service", "service/orderbook",
		"service/orderbook/fb", "service/orderbook/match"},
	"internal/archive":     {"internal/inspect", "internal/vfs", "wire", "journal", "journal/snapshot", "service"},
	"internal/replay":      {"internal/vfs", "ringbuf", "wire", "journal", "journal/snapshot", "service"},
	"internal/journaltest": {"internal/vfs", "internal/orderflow", "agent", "ringbuf", "wire", "journal", "journal/snapshot", "service"},

	"internal/lab": {"internal/testnet", "internal/vfs", "wire", "transport", "journal", "node"},

	// What `lockstep bench opening` is made of.
	"internal/opening": {"internal/orderflow", "agent", "wire", "transport", "journal/snapshot", "replica", "service", "client", "node",
		"bench"},
	// And `lockstep bench pipeline`.
	"internal/pipeline": {"internal/vfs", "agent", "agent/tsc", "wire", "transport", "service", "service/orderbook", "service/orderbook/match",
		"client", "node", "bench"},

	// What somebody's own program would import.
	"examples/call": {"wire", "transport", "client", "service"},
	"examples/poll": {"agent", "wire", "transport", "client", "service"},
	"examples/many": {"agent", "wire", "transport", "client", "service"},

	// A module of its own, so that what it measures stays out of this one.
	"bench/peers": {"agent", "wire", "client", "bench"},

	// A module of its own, as somebody with a service of his own would have it.
	"examples/reservations":       {"command"},
	"examples/reservations/seats": {"service", "wire"},
	"examples/reservations/buy":   {"wire", "transport", "client"},
	"internal/tutorial":           {},

	"cmd/lockstep-sim": {"internal/sim", "internal/simbug"},
	"cmd/lockstep":     {"command"},
	"command": {"internal/archive", "internal/bookaudit", "internal/counters", "internal/inspect", "internal/replay",
		"internal/lab", "internal/opening", "internal/pipeline", "internal/testnet", "internal/orderflow", "internal/vfs", "agent", "wire",
		"xdp", "transport", "journal", "journal/snapshot", "client", "service", "service/fb", "service/kv", "service/lock",
		"service/orderbook", "service/orderbook/fb", "service/orderbook/match",
		"service/queue", "service/queue/fb", "service/timer", "service/timer/fb", "node", "bench", "bench/recorded", "bench/report", "tuning", "tuning/jitter"},
}

func TestImportsAreEdgesOfTheGraph(t *testing.T) { hold(t, unknownEdges) }

func unknownEdges(s *source) []string {
	if !s.isGo() || s.isTest() {
		return nil
	}
	allowed, known := edges[s.folder()]
	if !known {
		return []string{fmt.Sprintf("%s: package %s has no row in the table of import edges", s.path, s.folder())}
	}
	var problems []string
	for _, name := range s.imports() {
		if of, ours := strings.CutPrefix(name, modulePrefix); ours && !slices.Contains(allowed, of) {
			problems = append(problems, fmt.Sprintf("%s: %s must not import %s", s.path, s.folder(), of))
		}
	}
	return problems
}

// pure is all that the core of replica may import: no I/O, no clock, no chance, nothing that is shared by threads.
var pure = []string{"lockstep/wire", "lockstep/internal/simbug", "cmp", "errors", "fmt", "math", "math/bits", "slices", "strings"}

func TestReplicaCoreIsPure(t *testing.T) { hold(t, impureCore) }

// impureCore looks at replica without its agents, which are in files named agent*.go.
func impureCore(s *source) []string {
	if !s.isGo() || s.isTest() || s.folder() != "replica" || strings.HasPrefix(path.Base(s.path), "agent") {
		return nil
	}
	var problems []string
	for _, name := range s.imports() {
		if !slices.Contains(pure, name) {
			problems = append(problems, fmt.Sprintf("%s: the core is a pure state machine and must not import %s", s.path, name))
		}
	}
	return problems
}

// TestGraphHasNoDeadRows keeps the table true of the tree: a row for a package that is gone says so.
func TestGraphHasNoDeadRows(t *testing.T) {
	there := map[string]bool{}
	for _, s := range readTree(t) {
		if s.isGo() {
			there[s.folder()] = true
		}
	}
	for folder := range edges {
		if !there[folder] {
			t.Errorf("the table of import edges has a row for %s, which is not there", folder)
		}
	}
}
