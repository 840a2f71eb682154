package tuning

import (
	"fmt"
	"slices"
	"strings"

	"lockstep/agent"
)

const groupBoot = "kernel command line"

// bootItems are changed by the boot loader only.
var bootItems = []Item{
	{Name: "isolated cores", Group: groupBoot, Wanted: "every hot core (isolcpus)", Weight: 10, For: bareMetal,
		Why: "a core that the scheduler shares takes a spinning thread off for milliseconds", Look: lookIsolation},
	{Name: "tickless cores", Group: groupBoot, Wanted: "every hot core (nohz_full)", Weight: 5, For: servers,
		Why: "the scheduler's tick takes some microseconds of a core up to a thousand times a second", Look: lookTickless},
	{Name: "RCU callbacks", Group: groupBoot, Wanted: "off every hot core (rcu_nocbs)", Weight: 3, For: servers,
		Why: "what RCU has put off is run in an interrupt on the core that put it off", Look: lookCallbacks},
	{Name: "clock watchdog", Group: groupBoot, Wanted: "off (tsc=reliable)", Weight: 3, For: bareMetal,
		Why:  "the kernel compares the TSC with a slower clock twice a second, and gives the TSC up if that clock is late",
		Look: parameter("tsc=reliable", "tsc=nowatchdog")},
	{Name: "staggered ticks", Group: groupBoot, Wanted: "on (skew_tick=1)", Weight: 1, For: servers,
		Why: "ticks of all cores at one instant fight for the same locks", Look: parameter("skew_tick=1")},
	{Name: "audit", Group: groupBoot, Wanted: "off (audit=0)", Weight: 1, For: bareMetal,
		Why: "with auditing every system call takes the slow way in and out of the kernel", Look: lookAudit},
	{Name: "IOMMU", Group: groupBoot, Wanted: "pass-through (iommu=pt), or none", Weight: 3, For: servers,
		Why: "translating a device's addresses costs time for every buffer that the kernel maps", Look: lookIOMMU},
	{Name: "idle parameters", Group: groupBoot, Wanted: "told only: C-states are held by tune watch and by nodes", For: bareMetal,
		Why:  "idle=poll keeps siblings and turbo from their share, so that it is a choice and no default",
		Look: tell("proc/cmdline", "idle=", "intel_idle.max_cstate=", "processor.max_cstate=", "cpuidle.off=")},
	{Name: "mitigations", Group: groupBoot, Wanted: "told only: a decision about risk", For: everywhere,
		Why: "every mitigation of a processor's flaw costs time at entries to the kernel", Look: lookMitigations},
}

// parameters are the words of the kernel command line.
func (h *Host) parameters() ([]string, error) {
	text, err := h.read("proc/cmdline")
	return strings.Fields(text), err
}

// parameter wants one of some words on the kernel command line; the first is the one to add.
func parameter(accepted ...string) func(*Host, Target) Finding {
	return func(h *Host, _ Target) Finding {
		words, err := h.parameters()
		if err != nil {
			return unreadable(err)
		}
		for _, word := range accepted {
			if slices.Contains(words, word) {
				return ok(word)
			}
		}
		return reboot("not given", accepted[0])
	}
}

// tell only shows what words there are with some beginnings.
func tell(path string, beginnings ...string) func(*Host, Target) Finding {
	return func(h *Host, _ Target) Finding {
		text, err := h.read(path)
		if err != nil {
			return unreadable(err)
		}
		var found []string
		for _, word := range strings.Fields(text) {
			if slices.ContainsFunc(beginnings, func(b string) bool { return strings.HasPrefix(word, b) }) {
				found = append(found, word)
			}
		}
		if len(found) == 0 {
			return ok("none given")
		}
		return ok(joinWords(found))
	}
}

// lookIsolation wants every hot core isolated, and at least one when none is named.
func lookIsolation(h *Host, t Target) Finding {
	isolated, err := h.coreList("sys/devices/system/cpu/isolated")
	return hotAmong(isolated, err, t, "isolated", "isolcpus=domain,managed_irq,"+coresOr(t.Cores))
}

func lookTickless(h *Host, t Target) Finding {
	tickless, err := h.coreList("sys/devices/system/cpu/nohz_full")
	return hotAmong(tickless, err, t, "tickless", "nohz_full="+coresOr(t.Cores))
}

// hotAmong wants the hot cores in a set that only the boot loader makes.
func hotAmong(set []int, err error, t Target, word, parameter string) Finding {
	if err != nil {
		return unreadable(err)
	}
	if len(set) == 0 {
		return reboot("none "+word, parameter)
	}
	if rest := missing(t.Cores, set); len(rest) > 0 {
		return reboot(fmt.Sprintf("%s %s, hot core %s not", listOf(set), word, listOf(rest)), parameter)
	}
	return ok(listOf(set))
}

// lookCallbacks: cores without ticks have their callbacks elsewhere, whatever rcu_nocbs says.
func lookCallbacks(h *Host, t Target) Finding {
	words, err := h.parameters()
	if err != nil {
		return unreadable(err)
	}
	elsewhere, _ := h.coreList("sys/devices/system/cpu/nohz_full")
	for _, word := range words {
		list, found := strings.CutPrefix(word, "rcu_nocbs=")
		if !found && word != "rcu_nocbs" {
			continue
		}
		if list == "all" || list == "" {
			return ok("off all cores")
		}
		cores, err := agent.ParseCores(list)
		if err != nil {
			return reboot(word+" cannot be read: "+err.Error(), "rcu_nocbs="+coresOr(t.Cores))
		}
		elsewhere = append(elsewhere, cores...)
	}
	slices.Sort(elsewhere)
	return hotAmong(slices.Compact(elsewhere), nil, t, "relieved", "rcu_nocbs="+coresOr(t.Cores))
}

func lookAudit(h *Host, t Target) Finding {
	if !h.exists("proc/self/loginuid") {
		return unsupported("no auditing in this kernel")
	}
	return parameter("audit=0", "audit=off")(h, t)
}

func lookIOMMU(h *Host, _ Target) Finding {
	groups := h.glob("sys/kernel/iommu_groups/*/type")
	if len(groups) == 0 {
		return unsupported("no IOMMU")
	}
	translated := 0
	for _, path := range groups {
		kind, err := h.read(path)
		if err != nil {
			return unreadable(err)
		}
		translated += count(kind != "identity")
	}
	if translated == 0 {
		return ok("pass-through")
	}
	return reboot(fmt.Sprintf("%d of %d groups are translated", translated, len(groups)), "iommu=pt")
}

// lookMitigations tells what the processor is vulnerable to and what is done about it.
func lookMitigations(h *Host, _ Target) Finding {
	flaws := h.glob("sys/devices/system/cpu/vulnerabilities/*")
	if len(flaws) == 0 {
		return unsupported("not told by this kernel")
	}
	mitigated, vulnerable := 0, 0
	for _, path := range flaws {
		text, _ := h.read(path)
		mitigated += count(strings.HasPrefix(text, "Mitigation"))
		vulnerable += count(strings.HasPrefix(text, "Vulnerable"))
	}
	return ok(fmt.Sprintf("%d flaws mitigated, %d open, %d not this processor's", mitigated, vulnerable,
		len(flaws)-mitigated-vulnerable))
}
