package tuning

import (
	"fmt"
	"slices"
	"strings"
)

const groupCPU = "processor"

// cpuItems are of the cores themselves.
var cpuItems = []Item{
	{Name: "frequency governor", Group: groupCPU, Wanted: "performance", Weight: 5, For: everywhere,
		Why: "a core that has to speed up first answers late", Look: lookGovernor},
	{Name: "deep idle states", Group: groupCPU, Wanted: "none slower than 10 us enabled", Weight: 5, For: everywhere,
		Why: "leaving a deep idle state takes up to hundreds of microseconds", Look: lookIdleStates},
	{Name: "clock source", Group: groupCPU, Wanted: "tsc", Weight: 10, For: everywhere,
		Why:  "other clock sources need a system call or a trap for every stamp",
		How:  "boot with tsc=reliable, and find out in the kernel's log why tsc was given up",
		Look: lookClock},
	{Name: "hypervisor", Group: groupCPU, Wanted: "none", Weight: 3, For: bareMetal,
		Why: "a hypervisor takes cores away without a trace but steal time", How: "run on bare metal", Look: lookHypervisor},
}

func lookGovernor(h *Host, _ Target) Finding {
	return h.all(h.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"), "performance", "no cpufreq")
}

// slowestWakeUs is the exit latency of an idle state that a hot core may still go to.
const slowestWakeUs = 10

func lookIdleStates(h *Host, _ Target) Finding {
	states := h.glob("sys/devices/system/cpu/cpu[0-9]*/cpuidle/state[0-9]*")
	if len(states) == 0 {
		return unsupported("no cpuidle")
	}
	var deep []string
	var settings []Setting
	for _, s := range states {
		latency, err := h.readInt(s + "/latency")
		if err != nil {
			return unreadable(err)
		}
		if disabled, _ := h.read(s + "/disable"); latency <= slowestWakeUs || disabled == "1" {
			continue
		}
		name, _ := h.read(s + "/name")
		if text := fmt.Sprintf("%s (%d us)", name, latency); !slices.Contains(deep, text) {
			deep = append(deep, text)
		}
		settings = append(settings, Setting{KindFile, s + "/disable", "1"})
	}
	if len(deep) == 0 {
		return ok("shallow only")
	}
	return h.change(strings.Join(deep, ", ")+" enabled", settings...)
}

func lookClock(h *Host, _ Target) Finding {
	const dir = "sys/devices/system/clocksource/clocksource0/"
	source, err := h.read(dir + "current_clocksource")
	if err != nil {
		return unreadable(err)
	}
	if available, _ := h.read(dir + "available_clocksource"); source != "tsc" &&
		slices.Contains(strings.Fields(available), "tsc") {
		return h.change(source, Setting{KindFile, dir + "current_clocksource", "tsc"})
	}
	return verdict(source == "tsc", source)
}

func lookHypervisor(h *Host, _ Target) Finding {
	text, err := h.read("proc/cpuinfo")
	if err != nil {
		return unreadable(err)
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "flags") && slices.Contains(strings.Fields(line), "hypervisor") {
			return differs("virtual machine")
		}
	}
	return ok("none")
}

// all wants the same text in every file of a list.
func (h *Host) all(paths []string, wanted, none string) Finding {
	if len(paths) == 0 {
		return unsupported("%s", none)
	}
	var current []string
	var settings []Setting
	for _, p := range paths {
		text, err := h.read(p)
		if err != nil {
			return unreadable(err)
		}
		if !slices.Contains(current, text) {
			current = append(current, text)
		}
		if text != wanted {
			settings = append(settings, Setting{KindFile, p, wanted})
		}
	}
	if len(settings) == 0 {
		return ok(wanted)
	}
	return h.change(strings.Join(current, ", "), settings...)
}
