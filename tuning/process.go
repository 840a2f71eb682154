package tuning

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const groupProcess = "process"

// processItems are of what this process is allowed. A node must be started with the same limits as the check.
var processItems = []Item{
	{Name: "locked memory", Group: groupProcess, Wanted: "unlimited, or CAP_IPC_LOCK", Weight: 5, For: everywhere,
		Why: "umem and rings must be locked in memory", How: "LimitMEMLOCK=infinity in the unit file", Look: lookMemlock},
	{Name: "open files", Group: groupProcess, Wanted: "4096 or more", Weight: 1, For: everywhere,
		Why: "segments, sockets and connections of a node that catches up are files", How: "LimitNOFILE=65536 in the unit file",
		Look: lookFiles},
	{Name: "real-time priority", Group: groupProcess, Wanted: "told only: Lockstep's threads are not real-time ones",
		For: everywhere, Why: "a hot thread on a core of its own has nobody to be ahead of", Look: lookPriority},
	{Name: "capabilities", Group: groupProcess, Wanted: "those of AF_XDP and of locked memory", Weight: 5, For: everywhere,
		Why:  "without them a node falls back to kernel UDP, or does not start",
		How:  "AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW CAP_BPF CAP_PERFMON CAP_IPC_LOCK in the unit file",
		Look: lookCapabilities},
}

// Bits of the kernel's capabilities.
const (
	capNetAdmin = 12
	capNetRaw   = 13
	capIPCLock  = 14
	capSysAdmin = 21
	capPerfmon  = 38
	capBPF      = 39
)

func lookMemlock(h *Host, _ Target) Finding {
	soft, err := h.limit("Max locked memory")
	if err != nil {
		return unreadable(err)
	}
	if soft == unlimited {
		return ok(soft)
	}
	if caps, err := h.capabilities(); err == nil && caps&(1<<capIPCLock) != 0 {
		return ok(soft + " bytes, CAP_IPC_LOCK")
	}
	return differs(soft + " bytes")
}

const filesWanted = 4096

func lookFiles(h *Host, _ Target) Finding {
	soft, err := h.limit("Max open files")
	if err != nil {
		return unreadable(err)
	}
	n, err := strconv.ParseUint(soft, 10, 64)
	return verdict(soft == unlimited || err == nil && n >= filesWanted, soft)
}

func lookPriority(h *Host, _ Target) Finding {
	soft, err := h.limit("Max realtime priority")
	if err != nil {
		return unreadable(err)
	}
	return ok(soft)
}

func lookCapabilities(h *Host, _ Target) Finding {
	caps, err := h.capabilities()
	if err != nil {
		return unreadable(err)
	}
	has := func(bit int) bool { return caps&(1<<bit) != 0 }
	var lacking []string
	for _, c := range []struct {
		name string
		had  bool
	}{
		{"CAP_NET_ADMIN", has(capNetAdmin)}, {"CAP_NET_RAW", has(capNetRaw)}, {"CAP_IPC_LOCK", has(capIPCLock)},
		{"CAP_BPF", has(capBPF) || has(capSysAdmin)}, {"CAP_PERFMON", has(capPerfmon) || has(capSysAdmin)},
	} {
		if !c.had {
			lacking = append(lacking, c.name)
		}
	}
	if len(lacking) == 0 {
		return ok("all of them")
	}
	return differs("without " + strings.Join(lacking, ", "))
}

const unlimited = "unlimited"

// limit is this process's soft limit of a name, as /proc says it.
func (h *Host) limit(name string) (string, error) {
	text, err := h.read("proc/self/limits")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if rest, found := strings.CutPrefix(line, name); found {
			if words := strings.Fields(rest); len(words) > 0 {
				return words[0], nil
			}
		}
	}
	return "", fmt.Errorf("/proc/self/limits: no %q", name)
}

// capabilities are this process's effective ones.
func (h *Host) capabilities() (uint64, error) {
	text, err := h.read("proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if rest, found := strings.CutPrefix(line, "CapEff:"); found {
			return strconv.ParseUint(strings.TrimSpace(rest), 16, 64)
		}
	}
	return 0, errors.New("/proc/self/status: no CapEff")
}
