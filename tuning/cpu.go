package tuning

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const groupCPU = "processor"

const cpus = "sys/devices/system/cpu/"

// cpuItems are of the cores themselves. The energy preference comes before the governor: under the governor performance
// the kernel takes no other preference, so that it must be put back after the governor.
var cpuItems = []Item{
	{Name: "energy preference", Group: groupCPU, Wanted: "performance", Weight: 3, For: everywhere,
		Why: "the processor trades speed for power by itself, whatever the governor asks for", Look: lookPreference},
	{Name: "energy bias", Group: groupCPU, Wanted: "0 (performance)", Weight: 1, For: everywhere,
		Why: "a bias to save power delays the raise of a core's frequency", Look: lookBias},
	{Name: "frequency governor", Group: groupCPU, Wanted: "performance", Weight: 5, For: everywhere,
		Why: "a core that has to speed up first answers late", Look: lookGovernor},
	{Name: "lowest frequency", Group: groupCPU, Wanted: "100 % (intel_pstate)", Weight: 1, For: bareMetal,
		Why: "a core that is allowed to slow down has to speed up again", Look: lookLowest},
	{Name: "platform profile", Group: groupCPU, Wanted: "performance", Weight: 1, For: bareMetal,
		Why: "firmware that saves power lowers the limits of all cores", Look: lookPlatform},
	{Name: "turbo", Group: groupCPU, Wanted: "told only: on is faster, off is steadier", For: everywhere,
		Why: "boosted frequencies change with heat and with what other cores do", Look: lookTurbo},
	{Name: "deep idle states", Group: groupCPU, Wanted: "none slower than 10 us enabled, or held off", Weight: 5,
		For: everywhere, Why: "leaving a deep idle state takes up to hundreds of microseconds", Look: lookIdleStates},
	{Name: "hyper-threads", Group: groupCPU, Wanted: "no hot core shares its core with a running sibling", Weight: 5,
		For: bareMetal, Why: "a sibling takes half of the core's units whenever it runs", Look: lookSiblings,
		How: "choose other hot cores, or leave the sibling idle"},
	{Name: "throttling", Group: groupCPU, Wanted: "never since the boot", Weight: 5, For: bareMetal,
		Why: "a core that is too hot is slowed down for milliseconds", How: "mend cooling and power limits", Look: lookThrottling},
	{Name: "clock source", Group: groupCPU, Wanted: "tsc", Weight: 10, For: everywhere,
		Why: "other clock sources need a system call or a trap for every stamp",
		How: "boot with tsc=reliable, and find out in the kernel's log why tsc was given up", Look: lookClock},
	{Name: "hypervisor", Group: groupCPU, Wanted: "none", Weight: 3, For: bareMetal,
		Why: "a hypervisor takes cores away without a trace but stolen time", How: "run on bare metal", Look: lookHypervisor},
	{Name: "stolen time", Group: groupCPU, Wanted: "below 0.1 % since the boot", Weight: 5, For: everywhere,
		Why: "a core that runs somebody else's machine answers nothing meanwhile",
		How: "ask for dedicated cores, or run on bare metal", Look: lookStolen},
}

func lookPreference(h *Host, _ Target) Finding {
	return h.all(h.glob(cpus+"cpu[0-9]*/cpufreq/energy_performance_preference"), "performance", "no such preference")
}

func lookBias(h *Host, _ Target) Finding {
	return h.all(h.glob(cpus+"cpu[0-9]*/power/energy_perf_bias"), "0", "no such bias")
}

func lookGovernor(h *Host, _ Target) Finding {
	return h.all(h.glob(cpus+"cpu[0-9]*/cpufreq/scaling_governor"), "performance", "no cpufreq")
}

func lookLowest(h *Host, _ Target) Finding {
	return h.all(h.glob(cpus+"intel_pstate/min_perf_pct"), "100", "not intel_pstate")
}

func lookPlatform(h *Host, _ Target) Finding {
	const path = "sys/firmware/acpi/platform_profile"
	if choices, err := h.read(path + "_choices"); err != nil || !slices.Contains(strings.Fields(choices), "performance") {
		return unsupported("firmware offers none")
	}
	return h.all([]string{path}, "performance", "")
}

func lookTurbo(h *Host, _ Target) Finding {
	if off, err := h.read(cpus + "intel_pstate/no_turbo"); err == nil {
		return ok(map[bool]string{true: "off", false: "on"}[off == "1"])
	}
	if boost, err := h.read(cpus + "cpufreq/boost"); err == nil {
		return ok(map[bool]string{true: "on", false: "off"}[boost == "1"])
	}
	return unsupported("not told by this kernel")
}

// slowestWakeUs is the exit latency of an idle state that a hot core may still go to.
const slowestWakeUs = 10

func lookIdleStates(h *Host, t Target) Finding {
	states := h.glob(cpus + "cpu[0-9]*/cpuidle/state[0-9]*")
	if len(states) == 0 {
		return unsupported("no cpuidle")
	}
	var deep []string
	var settings []Setting
	for _, s := range states {
		if core := coreOf(s); len(t.Cores) > 0 && !slices.Contains(t.Cores, core) {
			continue // other cores may sleep
		}
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
	if us, err := h.heldLatency(); err == nil && us <= slowestWakeUs {
		return ok(fmt.Sprintf("%s held off: latency of %d us asked for", strings.Join(deep, ", "), us))
	}
	return h.change(strings.Join(deep, ", ")+" enabled", settings...)
}

// coreOf is the number in a path of /sys/devices/system/cpu/cpuN.
func coreOf(path string) int {
	rest, _ := strings.CutPrefix(path, cpus+"cpu")
	number, _, _ := strings.Cut(rest, "/")
	core, err := strconv.Atoi(number)
	if err != nil {
		return -1
	}
	return core
}

// heldLatency is the wake-up latency that somebody asks of the kernel, microseconds.
func (h *Host) heldLatency() (int32, error) {
	f, err := os.Open(filepath.Join(h.Root, latencyFile))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var us [4]byte
	if n, err := f.Read(us[:]); err != nil || n < len(us) {
		return 0, fmt.Errorf("/%s: %d bytes: %w", latencyFile, n, err)
	}
	return int32(binary.NativeEndian.Uint32(us[:])), nil
}

// lookSiblings wants threads that share a hot core isolated and not hot, or not running.
func lookSiblings(h *Host, t Target) Finding {
	if control, err := h.read(cpus + "smt/control"); err == nil && strings.Contains("off forceoff notsupported", control) {
		return ok("off")
	}
	if len(t.Cores) == 0 {
		return unsupported("no hot cores given")
	}
	isolated, _ := h.coreList(cpus + "isolated")
	var shared []string
	var settings []Setting
	for _, core := range t.Cores {
		siblings, err := h.coreList(fmt.Sprintf(cpus+"cpu%d/topology/thread_siblings_list", core))
		if err != nil {
			return unreadable(err)
		}
		for _, s := range siblings {
			online := fmt.Sprintf(cpus+"cpu%d/online", s)
			switch hot := slices.Contains(t.Cores, s); {
			case s == core || !hot && slices.Contains(isolated, s):
				continue
			case !hot && h.exists(online):
				settings = append(settings, Setting{KindFile, online, "0"})
			}
			shared = append(shared, fmt.Sprintf("%d with %d", core, s))
		}
	}
	if len(shared) == 0 {
		return ok("none shared")
	}
	if len(settings) < len(shared) {
		return differs("core " + strings.Join(shared, ", "))
	}
	return h.change("core "+strings.Join(shared, ", "), settings...)
}

func lookThrottling(h *Host, _ Target) Finding {
	counts := h.glob(cpus + "cpu[0-9]*/thermal_throttle/*_throttle_count")
	if len(counts) == 0 {
		return unsupported("not counted by this processor")
	}
	most := int64(0)
	for _, path := range counts {
		n, err := h.readInt(path)
		if err != nil {
			return unreadable(err)
		}
		most = max(most, n)
	}
	return verdict(most == 0, fmt.Sprintf("%d times on the worst core", most))
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

// stealColumn is stolen time's among the columns of /proc/stat, the first being user time.
const stealColumn = 7

func lookStolen(h *Host, _ Target) Finding {
	text, err := h.read("proc/stat")
	if err != nil {
		return unreadable(err)
	}
	line, _, _ := strings.Cut(text, "\n")
	words := strings.Fields(line)
	if len(words) <= stealColumn+1 || words[0] != "cpu" {
		return unsupported("/proc/stat has no such column")
	}
	var stolen, all float64
	for i, word := range words[1 : stealColumn+2] { // guests' time, behind it, is in user time already
		n, err := strconv.ParseUint(word, 10, 64)
		if err != nil {
			return unreadable(fmt.Errorf("/proc/stat: %w", err))
		}
		if all += float64(n); i == stealColumn {
			stolen = float64(n)
		}
	}
	percent := stolen * 100 / max(all, 1)
	return verdict(percent < 0.1, fmt.Sprintf("%.2f %%", percent))
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
