package tuning

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// State is the verdict on one item.
type State uint8

// The verdicts.
const (
	OK          State = iota // as wanted
	Differs                  // not as wanted: it costs latency or safety
	Unsupported              // this kernel or machine does not have it
	Unknown                  // could not be read
)

// String names a state.
func (s State) String() string {
	return [...]string{"ok", "differs", "unsupported", "unknown"}[s]
}

// Finding is what was found of one item.
type Finding struct {
	Item    string `json:"item"`
	State   State  `json:"-"`
	Verdict string `json:"state"`
	Current string `json:"current"`
	Wanted  string `json:"wanted"`
	Why     string `json:"why"`
	Fix     string `json:"fix"`
}

// Target says what the check is for: the node's or client's interface, directory and cores. Zero values leave the
// items that need them at Unsupported.
type Target struct {
	Interface string // data interface
	Dir       string // node directory
	Cores     []int  // cores of hot threads
}

// item is one row of the table: how to look, and the words around it.
type item struct {
	name, wanted, why, fix string
	look                   func(h *Host, t Target) (State, string)
}

// items are in the order in which they are worth mending.
var items = []item{
	{"isolated cores", "every hot core is isolated",
		"a core that the scheduler shares takes a spinning thread off for milliseconds",
		"boot with isolcpus=domain,managed_irq,N nohz_full=N rcu_nocbs=N", lookIsolation},
	{"frequency governor", "performance",
		"a core that has to speed up first answers late", "cpupower frequency-set -g performance", lookGovernor},
	{"deep idle states", "no state slower than 10 us enabled",
		"leaving a deep idle state takes up to hundreds of microseconds",
		"hold /dev/cpu_dma_latency open with 0, or boot with intel_idle.max_cstate=1", lookIdleStates},
	{"clock source", "tsc", "other clock sources need a system call or a trap for every stamp",
		"boot with tsc=reliable and find out in dmesg why tsc was given up", lookClock},
	{"transparent huge pages", "never or madvise", "compaction stalls any thread that touches memory",
		"echo madvise > /sys/kernel/mm/transparent_hugepage/enabled", lookHugePages},
	{"swap", "off", "a page that was swapped out stalls the thread for a disk read", "swapoff -a", lookSwap},
	{"locked memory", "unlimited, or CAP_IPC_LOCK", "umem and rings must be locked in memory",
		"LimitMEMLOCK=infinity in the unit file", lookMemlock},
	{"interface", "up, MTU 1500 or more, driver with zero-copy",
		"a driver without zero-copy costs a copy and a system call a packet", "see docs/operations.md, NICs", lookInterface},
	{"disk write cache", "write through (power-loss protected)",
		"with a volatile cache each sync waits for the flash", "use an NVMe with power-loss protection", lookDisk},
	{"hypervisor", "none", "a hypervisor takes cores away without a trace but steal time", "run on bare metal", lookHypervisor},
}

// Check looks at every item.
func Check(h *Host, t Target) []Finding {
	findings := make([]Finding, 0, len(items))
	for _, it := range items {
		state, current := it.look(h, t)
		findings = append(findings, Finding{Item: it.name, State: state, Verdict: state.String(), Current: current,
			Wanted: it.wanted, Why: it.why, Fix: it.fix})
	}
	return findings
}

// Score counts the items that are as wanted, out of those that this machine has.
func Score(findings []Finding) (ok, of int) {
	for _, f := range findings {
		switch f.State {
		case OK:
			ok, of = ok+1, of+1
		case Differs:
			of++
		}
	}
	return ok, of
}

// Print writes the findings as a table, with the fix under what differs.
func Print(w io.Writer, findings []Finding) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "ITEM\tSTATE\tCURRENT\tWANTED")
	for _, f := range findings {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", f.Item, f.State, f.Current, f.Wanted)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, f := range findings {
		if f.State == Differs {
			fmt.Fprintf(w, "%s: %s; %s\n", f.Item, f.Why, f.Fix)
		}
	}
	ok, of := Score(findings)
	_, err := fmt.Fprintf(w, "%d of %d as wanted\n", ok, of)
	return err
}
