package tuning

import (
	"fmt"
	"strings"
)

const groupKernel = "kernel threads and timers"

const sysKernel = "proc/sys/kernel/"

// kernelItems are of the kernel's own threads and timers.
var kernelItems = []Item{
	{Name: "workqueues", Group: groupKernel, Wanted: offHot, Weight: 5, For: bareMetal,
		Why: "work of no core in particular, the tick of tickless cores among it, is done on a hot one", Look: lookWorkqueues},
	{Name: "writeback workqueue", Group: groupKernel, Wanted: offHot, Weight: 3, For: servers,
		Why: "dirty pages are written out from a hot core", Look: lookWriteback},
	{Name: "RCU threads", Group: groupKernel, Wanted: offHot, Weight: 3, For: servers,
		Why: "the threads that run RCU's callbacks take the hot cores' time", Look: lookRCUThreads},
	{Name: "expedited RCU", Group: groupKernel, Wanted: "off (rcu_normal 1)", Weight: 3, For: servers,
		Why: "an expedited grace period interrupts every core", Look: oneOf("sys/kernel/rcu_normal", "1")},
	{Name: "soft lockup watchdog", Group: groupKernel, Wanted: "off", Weight: 3, For: bareMetal,
		Why: "a thread of the highest priority wakes up on every core each few seconds", Look: oneOf(sysKernel+"soft_watchdog", "0")},
	{Name: "NMI watchdog", Group: groupKernel, Wanted: "off", Weight: 3, For: bareMetal,
		Why: "it takes a counter of each core, and interrupts it", Look: oneOf(sysKernel+"nmi_watchdog", "0")},
	{Name: "machine check polling", Group: groupKernel, Wanted: "corrected errors ignored", Weight: 1, For: servers,
		Why: "every core is interrupted each few minutes to look for corrected errors", Look: lookMachineCheck},
	{Name: "timer migration", Group: groupKernel, Wanted: "off", Weight: 3, For: bareMetal,
		Why: "timers of idle cores move to busy ones", Look: oneOf(sysKernel+"timer_migration", "0")},
	{Name: "statistics interval", Group: groupKernel, Wanted: "10 s or more", Weight: 1, For: bareMetal,
		Why: "each core is interrupted to fold its memory counters", Look: atLeast(vm+"stat_interval", 10)},
	{Name: "split locks", Group: groupKernel, Wanted: "not slowed down", Weight: 1, For: bareMetal,
		Why:  "a process that locks across cache lines is stalled for milliseconds on purpose",
		Look: oneOf(sysKernel+"split_lock_mitigate", "0")},
	{Name: "PCIe power", Group: groupKernel, Wanted: "performance", Weight: 3, For: bareMetal,
		Why: "a link that sleeps adds microseconds to the next packet or write", Look: lookLinkPower},
	{Name: "real-time throttle", Group: groupKernel, Wanted: "told only: Lockstep's threads are not real-time ones",
		For:  everywhere,
		Why:  "a thread of a real-time class that spins is taken off its core 50 ms a second; without the throttle it starves the kernel",
		Look: lookRealTime},
}

func lookWorkqueues(h *Host, t Target) Finding {
	return h.masks(t, "sys/devices/virtual/workqueue/cpumask")
}

func lookWriteback(h *Host, t Target) Finding {
	return h.masks(t, "sys/devices/virtual/workqueue/writeback/cpumask")
}

// lookRCUThreads looks for RCU's threads by their names: rcuo of callbacks, rcub of boosting, rcu_ of grace periods.
func lookRCUThreads(h *Host, t Target) Finding {
	rest, end := h.leaveHot(t)
	if end != nil {
		return *end
	}
	var hot, fixed []string
	var settings []Setting
	seen := 0
	for _, path := range h.glob("proc/[0-9]*/comm") {
		name, err := h.read(path)
		if err != nil || !strings.HasPrefix(name, "rcu") || !h.kernelThread(path) {
			continue
		}
		thread := strings.Split(path, "/")[1] + " " + name
		list, err := h.Get(KindAffinity, thread)
		if err != nil {
			return unreadable(err)
		}
		seen++
		if cores, err := parseList(list); err != nil || len(common(cores, t.Cores)) == 0 {
			continue
		}
		if err := h.set(KindAffinity, thread, list); err != nil { // only the kernel knows which it has bound
			if refusal(err) == NoPermission {
				return unreadable(err)
			}
			fixed = append(fixed, name)
			continue
		}
		hot = append(hot, name)
		settings = append(settings, Setting{KindAffinity, thread, listOf(rest)})
	}
	return h.moved(seen, "threads", hot, fixed, rest, settings)
}

// kernelThread says whether a process has no memory of its own: its command line is empty.
func (h *Host) kernelThread(comm string) bool {
	text, err := h.read(strings.TrimSuffix(comm, "comm") + "cmdline")
	return err == nil && text == ""
}

// moved is the finding of things that are to leave the hot cores. Those that are fixed may not differ for ever: the
// item is Immovable when they are all that is left.
func (h *Host) moved(seen int, what string, hot, fixed []string, rest []int, settings []Setting) Finding {
	wanted := "on cores " + listOf(rest)
	var f Finding
	switch {
	case seen == 0:
		return unsupported("no such %s", what)
	case len(hot) > 0:
		f = h.change(fmt.Sprintf("%d of %d %s may run on a hot core: %s", len(hot)+len(fixed), seen, what, some(hot)), settings...)
	case len(fixed) > 0:
		f = Finding{State: Immovable, Fix: "isolate the hot cores at boot",
			Current: fmt.Sprintf("%d of %d %s are bound to a hot core: %s", len(fixed), seen, what, some(fixed))}
	default:
		f = ok(fmt.Sprintf("%d %s elsewhere", seen, what))
	}
	f.Wanted = wanted
	return f
}

// some are the first of many names.
func some(names []string) string {
	if len(names) > 2 {
		return strings.Join(names[:2], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
}

func lookMachineCheck(h *Host, _ Target) Finding {
	return h.all(h.glob("sys/devices/system/machinecheck/machinecheck[0-9]*/ignore_ce"), "1", "no machine checks")
}

// lookLinkPower writes the policy that there is back: firmware that keeps links to itself has the kernel refuse any.
func lookLinkPower(h *Host, t Target) Finding {
	const path = "sys/module/pcie_aspm/parameters/policy"
	f := oneOf(path, "performance")(h, t)
	if f.State == Differs && h.set(KindFile, path, f.Current) != nil {
		return Finding{State: Immovable, Current: f.Current + ", held by the firmware", Fix: "set ASPM off in the firmware's setup"}
	}
	return f
}

func lookRealTime(h *Host, _ Target) Finding {
	runtime, err := h.readInt(sysKernel + "sched_rt_runtime_us")
	if err != nil {
		return unreadable(err)
	}
	if runtime < 0 {
		return ok("off")
	}
	period, err := h.readInt(sysKernel + "sched_rt_period_us")
	if err != nil {
		return unreadable(err)
	}
	return ok(fmt.Sprintf("%d of %d us", runtime, period))
}
