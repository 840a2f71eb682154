package jitter

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Kinds of causes.
const (
	KindInterrupt = "interrupt" // a line of /proc/interrupts
	KindSoftirq   = "softirq"   // a line of /proc/softirqs
	KindSwitch    = "switch"    // the thread lost its core to another one, or gave it up itself at a safe point
	KindThrottle  = "throttle"  // the processor ran slower because it was hot
	KindSMI       = "smi"       // firmware ran in system management mode
)

// Cause is something that the kernel or the processor counted on a core.
type Cause struct {
	Kind   string  `json:"kind"`
	Name   string  `json:"name"`
	Count  uint64  `json:"count"`
	PerSec float64 `json:"per_sec"`
}

// smiRegister counts system management interrupts, on processors of Intel.
const smiRegister = 0x34

// tickNs is what /proc/stat counts in: a hundredth of a second on every architecture that Go runs on.
const tickNs = 10_000_000

type causeKey struct{ kind, name string }

// counted is what was counted on one core, and for one thread on it, until now.
type counted struct {
	events   map[causeKey]uint64
	stealNs  uint64
	waitedNs uint64 // that the thread was ready to run and had no core
	unread   []string
}

// reader reads what is counted below a root folder.
type reader struct{ root string }

// read reads everything about some cores; threads has the thread on each.
func (r reader) read(cores []int, threads []int) []counted {
	all := make([]counted, len(cores))
	for i := range all {
		all[i].events = map[causeKey]uint64{}
	}
	r.table("proc/interrupts", KindInterrupt, cores, all)
	r.table("proc/softirqs", KindSoftirq, cores, all)
	r.steal(cores, all)
	for i, core := range cores {
		r.switches(threads[i], &all[i])
		r.throttle(core, &all[i])
		r.smi(core, &all[i])
	}
	return all
}

func unreadable(all []counted, path string, err error) {
	for i := range all {
		all[i].missing(path, err)
	}
}

func (c *counted) missing(path string, err error) {
	if pathError := (*os.PathError)(nil); errors.As(err, &pathError) {
		err = pathError.Err
	}
	c.unread = append(c.unread, fmt.Sprintf("/%s (%v)", path, err))
}

// table reads a file with a column for each core, the first line saying which.
func (r reader) table(path, kind string, cores []int, all []counted) {
	file, err := os.Open(filepath.Join(r.root, path))
	if err != nil {
		unreadable(all, path, err)
		return
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 0, 64<<10), 1<<20) // a column for each of thousands of cores
	lines.Scan()
	columns := strings.Fields(lines.Text())
	where := make([]int, len(cores))
	for i, core := range cores {
		where[i] = slices.Index(columns, "CPU"+strconv.Itoa(core))
	}
	for lines.Scan() {
		name, rest, found := strings.Cut(lines.Text(), ":")
		fields := strings.Fields(rest)
		if !found || len(fields) < len(columns) {
			continue // a count of the machine, such as ERR
		}
		key := causeKey{kind, label(strings.TrimSpace(name), fields[len(columns):])}
		for i, at := range where {
			if at < 0 {
				continue
			}
			if n, err := strconv.ParseUint(fields[at], 10, 64); err == nil {
				all[i].events[key] += n
			}
		}
	}
	if err := lines.Err(); err != nil {
		unreadable(all, path, err)
	}
}

// label is how a line is called: the words of the kernel for its own interrupts, number and device for others.
func label(name string, words []string) string {
	switch _, err := strconv.Atoi(name); {
	case len(words) == 0:
		return name
	case err == nil:
		return name + " " + words[len(words)-1]
	}
	return name + " (" + strings.Join(words, " ") + ")"
}

// steal reads what the hypervisor took away from each core.
func (r reader) steal(cores []int, all []counted) {
	const path, stealField = "proc/stat", 8
	text, err := os.ReadFile(filepath.Join(r.root, path))
	if err != nil {
		unreadable(all, path, err)
		return
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) <= stealField {
			continue
		}
		for i, core := range cores {
			if fields[0] == "cpu"+strconv.Itoa(core) {
				ticks, _ := strconv.ParseUint(fields[stealField], 10, 64)
				all[i].stealNs = ticks * tickNs
			}
		}
	}
}

// switches reads how often a thread of this process lost its core, and how long it waited for one.
func (r reader) switches(thread int, c *counted) {
	path := fmt.Sprintf("proc/self/task/%d/", thread)
	text, err := os.ReadFile(filepath.Join(r.root, path+"status"))
	if err != nil {
		c.missing(path+"status", err)
		return
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		n, _ := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
		switch name {
		case "nonvoluntary_ctxt_switches":
			c.events[causeKey{KindSwitch, "core taken by another thread"}] = n
		case "voluntary_ctxt_switches":
			c.events[causeKey{KindSwitch, "core given up at a safe point"}] = n
		}
	}
	// Time on a core, time that it waited for one, and turns: absent where the kernel does not keep it.
	if text, err = os.ReadFile(filepath.Join(r.root, path+"schedstat")); err != nil {
		c.missing(path+"schedstat", err)
		return
	}
	if fields := strings.Fields(string(text)); len(fields) > 1 {
		c.waitedNs, _ = strconv.ParseUint(fields[1], 10, 64)
	}
}

// throttle reads how often a core and its package were too hot. Virtual machines and some processors do not say.
func (r reader) throttle(core int, c *counted) {
	for _, what := range []string{"core", "package"} {
		path := fmt.Sprintf("sys/devices/system/cpu/cpu%d/thermal_throttle/%s_throttle_count", core, what)
		text, err := os.ReadFile(filepath.Join(r.root, path))
		if err != nil {
			c.missing(path, err)
			continue
		}
		n, _ := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
		c.events[causeKey{KindThrottle, what + " too hot"}] = n
	}
}

// smi reads the count of system management interrupts.
func (r reader) smi(core int, c *counted) {
	path := fmt.Sprintf("dev/cpu/%d/msr", core)
	file, err := os.Open(filepath.Join(r.root, path))
	if err != nil {
		c.missing(path, err)
		return
	}
	defer file.Close()
	var b [8]byte
	if _, err := file.ReadAt(b[:], smiRegister); err != nil {
		c.missing(path, err)
		return
	}
	c.events[causeKey{KindSMI, "system management interrupt"}] = binary.LittleEndian.Uint64(b[:])
}

// since is what was counted after before, most frequent first; what did not happen is left out.
func (c *counted) since(before *counted, seconds float64) (causes []Cause) {
	for key, n := range c.events {
		if old := before.events[key]; n > old {
			causes = append(causes, Cause{Kind: key.kind, Name: key.name, Count: n - old, PerSec: tenths(float64(n-old) / seconds)})
		}
	}
	slices.SortFunc(causes, func(a, b Cause) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return causes
}
