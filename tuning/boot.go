package tuning

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lockstep/agent"
)

const groupBoot = "kernel command line"

// bootItems are changed by the boot loader only.
var bootItems = []Item{
	{Name: "isolated cores", Group: groupBoot, Wanted: "every hot core is isolated", Weight: 10, For: bareMetal,
		Why:  "a core that the scheduler shares takes a spinning thread off for milliseconds",
		Look: lookIsolation},
}

// lookIsolation wants every hot core isolated, and at least one when none is named.
func lookIsolation(h *Host, t Target) Finding {
	text, err := h.read("sys/devices/system/cpu/isolated")
	if err != nil {
		return unreadable(err)
	}
	isolated, err := agent.ParseCores(text)
	if err != nil {
		return unreadable(err)
	}
	if len(isolated) == 0 {
		return reboot("none isolated", "isolcpus=domain,managed_irq,"+coresOr(t.Cores))
	}
	for _, core := range t.Cores {
		if !slices.Contains(isolated, core) {
			return reboot(fmt.Sprintf("%s isolated, core %d is not", text, core),
				"isolcpus=domain,managed_irq,"+coresOr(t.Cores))
		}
	}
	return ok(text)
}

// coresOr is a list of cores as the kernel takes it.
func coresOr(cores []int) string {
	if len(cores) == 0 {
		return "CORES"
	}
	words := make([]string, len(cores))
	for i, c := range cores {
		words[i] = strconv.Itoa(c)
	}
	return strings.Join(words, ",")
}
