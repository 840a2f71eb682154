package agent

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ThreadUse is what the kernel says of a thread, since a start.
type ThreadUse struct {
	Cores       string // that it may run on, as the kernel writes them, such as "0-1"
	MinorFaults uint64 // pages that were there and not mapped
	MajorFaults uint64 // pages that were read from a disk
	Voluntary   uint64 // times that it gave up its core: to block, to park
	Involuntary uint64 // times that its core was taken away
}

// subtract leaves what came after.
func (u *ThreadUse) subtract(before *ThreadUse) {
	u.MinorFaults -= min(u.MinorFaults, before.MinorFaults)
	u.MajorFaults -= min(u.MajorFaults, before.MajorFaults)
	u.Voluntary -= min(u.Voluntary, before.Voluntary)
	u.Involuntary -= min(u.Involuntary, before.Involuntary)
}

// readThread asks the kernel about a thread of this process since the thread's start. Cold.
func readThread(id int) (ThreadUse, error) {
	folder := fmt.Sprintf("/proc/self/task/%d/", id)
	stat, err := os.ReadFile(folder + "stat")
	if err != nil {
		return ThreadUse{}, fmt.Errorf("agent: thread %d: %w", id, err)
	}
	status, err := os.ReadFile(folder + "status")
	if err != nil {
		return ThreadUse{}, fmt.Errorf("agent: thread %d: %w", id, err)
	}
	u, err := parseThread(string(stat), string(status))
	if err != nil {
		return u, fmt.Errorf("agent: thread %d: %w", id, err)
	}
	return u, nil
}

// Fields of a thread's stat behind its name, which may hold anything: the state is the first.
const (
	statMinorFaults = 7
	statMajorFaults = 9
)

func parseThread(stat, status string) (u ThreadUse, err error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) <= statMajorFaults {
		return u, fmt.Errorf("%q is no line of /proc/PID/stat", stat)
	}
	number := func(into *uint64, text string) {
		if err == nil {
			*into, err = strconv.ParseUint(strings.TrimSpace(text), 10, 64)
		}
	}
	number(&u.MinorFaults, fields[statMinorFaults])
	number(&u.MajorFaults, fields[statMajorFaults])
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "Cpus_allowed_list":
			u.Cores = strings.TrimSpace(value)
		case "voluntary_ctxt_switches":
			number(&u.Voluntary, value)
		case "nonvoluntary_ctxt_switches":
			number(&u.Involuntary, value)
		}
	}
	return u, err
}
