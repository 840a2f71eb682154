package tuning

import (
	"os"
	"path"
	"path/filepath"
)

const groupInterrupts = "interrupts"

// interruptItems are of interrupts and of who moves them.
var interruptItems = []Item{
	{Name: "irqbalance", Group: groupInterrupts, Wanted: "not running", Weight: 5, For: bareMetal,
		Why: "it moves interrupts onto hot cores again", How: "systemctl disable --now irqbalance", Look: lookIRQBalance},
	{Name: "default interrupt affinity", Group: groupInterrupts, Wanted: offHot, Weight: 3, For: bareMetal,
		Why: "an interrupt of a device that appears later goes to any core", Look: lookDefaultAffinity},
	{Name: "interrupt affinity", Group: groupInterrupts, Wanted: offHot, Weight: 5, For: bareMetal,
		Why: "an interrupt takes a hot core for microseconds, and the softirq behind it for more", Look: lookInterrupts},
}

// lookIRQBalance: where systemd started it, it is stopped and started as a service.
func lookIRQBalance(h *Host, _ Target) Finding {
	names := h.glob("proc/[0-9]*/comm")
	if len(names) == 0 {
		return unsupported("no processes to see")
	}
	for _, file := range names {
		if name, err := h.read(file); err != nil || name != "irqbalance" {
			continue
		}
		if state, err := h.Get(KindService, "irqbalance"); err == nil && state == "active" {
			return h.change("running", Setting{KindService, "irqbalance", "inactive"})
		}
		return differs("running")
	}
	return ok("not running")
}

func lookDefaultAffinity(h *Host, t Target) Finding {
	return h.masks(t, "proc/irq/default_smp_affinity")
}

// lookInterrupts writes an interrupt's own mask back to learn whether it can be moved: nothing else tells. The kernel sends
// an interrupt to one core of its mask; one that cannot be moved only matters where it is sent.
func lookInterrupts(h *Host, t Target) Finding {
	rest, end := h.leaveHot(t)
	if end != nil {
		return *end
	}
	var hot, fixed []string
	var settings []Setting
	lists := h.glob("proc/irq/[0-9]*/smp_affinity_list")
	for _, list := range lists {
		text, err := h.read(list)
		if err != nil {
			return unreadable(err)
		}
		cores, err := parseList(text)
		if err != nil {
			return unreadable(err)
		}
		if len(common(cores, t.Cores)) == 0 {
			continue
		}
		name := h.interruptName(path.Dir(list))
		if h.mayWrite(KindFile, list) != nil || h.set(KindFile, list, text) == nil {
			hot = append(hot, name)
			settings = append(settings, Setting{KindFile, list, listOf(rest)})
			continue
		}
		if sent, err := h.coreList(path.Dir(list) + "/effective_affinity_list"); err != nil || len(common(sent, t.Cores)) > 0 {
			fixed = append(fixed, name)
		}
	}
	return h.moved(len(lists), "interrupts", hot, fixed, rest, settings)
}

// interruptName is its number, and who handles it: the name of the folder in its folder.
func (h *Host) interruptName(dir string) string {
	name := path.Base(dir)
	for _, inner := range h.glob(dir + "/*") {
		if info, err := os.Stat(filepath.Join(h.Root, inner)); err == nil && info.IsDir() {
			return name + " (" + path.Base(inner) + ")"
		}
	}
	return name
}
