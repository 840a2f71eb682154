package tuning

import (
	"strconv"
	"strings"
)

const groupProcess = "process"

// processItems are of what this process is allowed. A node must be started with the same limits as the check.
var processItems = []Item{
	{Name: "locked memory", Group: groupProcess, Wanted: "unlimited, or CAP_IPC_LOCK", Weight: 5, For: everywhere,
		Why: "umem and rings must be locked in memory", How: "LimitMEMLOCK=infinity in the unit file", Look: lookMemlock},
}

// Bits of the kernel's capabilities.
const capIPCLock = 14

func lookMemlock(h *Host, _ Target) Finding {
	soft, err := h.limit("Max locked memory")
	if err != nil {
		return unreadable(err)
	}
	if soft == "unlimited" {
		return ok(soft)
	}
	if caps, err := h.capabilities(); err == nil && caps&(1<<capIPCLock) != 0 {
		return ok(soft + " bytes, CAP_IPC_LOCK")
	}
	return differs(soft + " bytes")
}

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
	return "not listed", nil
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
	return 0, nil
}
