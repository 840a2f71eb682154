package tuning

import (
	"fmt"
	"strconv"
	"strings"
)

// stackItems are settings of the kernel's network stack.
var stackItems = []Item{
	{Name: "receive packet steering", Group: groupNet, Wanted: "off", Weight: 1, For: bareMetal,
		Why:  "RPS has another core work on a packet, by an interrupt to it",
		Look: onInterface(lookRPS)},
	{Name: "receive flow steering", Group: groupNet, Wanted: "off", Weight: 1, For: bareMetal,
		Why:  "RFS has packets follow whoever read last, onto hot cores",
		Look: onInterface(lookRFS)},
	{Name: "interrupt deferral", Group: groupNet, Weight: 3, For: bareMetal,
		Wanted: "napi_defer_hard_irqs 0 and gro_flush_timeout 0, or what a node that polls sets (2 and 200000)",
		Why:    "where nobody polls, a packet waits for the timer instead of an interrupt",
		Look:   onInterface(lookDeferral)},
	{Name: "busy polling by default", Group: groupNet, Wanted: "net.core.busy_read 0, busy_poll 0", Weight: 1, For: bareMetal,
		Why:  "sockets that are to poll say so; a default has every other reader spin on its core as well",
		Look: lookBusyPoll},
	{Name: "socket buffer limits", Group: groupNet, Wanted: "8 MiB or more", Weight: 1, For: everywhere,
		Why:  "kernel sockets of processes that are not root get no buffer beyond the limit, and drop bursts",
		Look: lookBuffers},
	{Name: "device backlog", Group: groupNet, Wanted: "10000 or more", Weight: 1, For: everywhere,
		Why:  "packets of drivers without NAPI wait in one queue a core, and are dropped when it is full",
		Look: atLeast("proc/sys/net/core/netdev_max_backlog", backlogWanted)},
	{Name: "BPF compiler", Group: groupNet, Wanted: "net.core.bpf_jit_enable 1", Weight: 3, For: everywhere,
		Why:  "an XDP program that is interpreted costs ten times as much a packet",
		Look: lookJIT},
}

// The least that is wanted. The buffer is what the node's kernel sockets ask for.
const (
	bufferWanted  = 8 << 20
	backlogWanted = 10000
)

// netDir is the folder of an interface in /sys, if that is of the network namespace that Link speaks of.
func (h *Host) netDir(name string) (string, error) {
	link, err := h.Link(name)
	if err != nil {
		return "", err
	}
	dir := "sys/class/net/" + name
	index, err := h.readInt(dir + "/ifindex")
	if err != nil {
		return "", err
	}
	if link.Index != 0 && int64(link.Index) != index {
		return "", fmt.Errorf("/%s is of another network namespace: mount a sysfs of this one", dir)
	}
	return dir, nil
}

func lookRPS(h *Host, name string, _ Target) Finding {
	dir, err := h.netDir(name)
	if err != nil {
		return unreadable(err)
	}
	var values []string
	var settings []Setting
	for _, path := range h.glob(dir + "/queues/rx-*/rps_cpus") {
		mask, err := h.read(path)
		if err != nil {
			return unreadable(err)
		}
		values = append(values, mask)
		settings = append(settings, Setting{KindFile, path, noCores(mask)})
	}
	if settings == nil {
		return unsupported("not in this kernel")
	}
	return h.wantAll("cores "+strings.Join(values, " "), values, settings...)
}

// noCores is an empty mask of cores, as long as the kernel prints it.
func noCores(mask string) string {
	return strings.Map(func(r rune) rune {
		if r == ',' {
			return r
		}
		return '0'
	}, mask)
}

func lookRFS(h *Host, name string, _ Target) Finding {
	dir, err := h.netDir(name)
	if err != nil {
		return unreadable(err)
	}
	paths := h.glob(dir + "/queues/rx-*/rps_flow_cnt")
	if len(paths) == 0 {
		return unsupported("not in this kernel")
	}
	const table = "proc/sys/net/core/rps_sock_flow_entries"
	if h.exists(table) { // of the first network namespace only
		paths = append(paths, table)
	}
	return h.zero("flows", paths...)
}

// zero wants all of these files to be 0.
func (h *Host) zero(what string, paths ...string) Finding {
	var values []string
	var settings []Setting
	for _, path := range paths {
		v, err := h.read(path)
		if err != nil {
			return unreadable(err)
		}
		values = append(values, v)
		settings = append(settings, Setting{KindFile, path, "0"})
	}
	return h.wantAll(what+" "+strings.Join(values, " "), values, settings...)
}

// polled is what a node sets that polls its interface.
const polled = "polls 2, flush after 200000 ns"

func lookDeferral(h *Host, name string, _ Target) Finding {
	dir, err := h.netDir(name)
	if err != nil {
		return unreadable(err)
	}
	paths := []string{dir + "/napi_defer_hard_irqs", dir + "/gro_flush_timeout"}
	var values []string
	for _, path := range paths {
		v, err := h.read(path)
		if err != nil {
			return unreadable(err)
		}
		values = append(values, v)
	}
	current := fmt.Sprintf("polls %s, flush after %s ns", values[0], values[1])
	if current == polled {
		return ok(current)
	}
	return h.wantAll(current, values, Setting{KindFile, paths[0], "0"}, Setting{KindFile, paths[1], "0"})
}

func lookBusyPoll(h *Host, _ Target) Finding {
	return h.zero("microseconds", "proc/sys/net/core/busy_read", "proc/sys/net/core/busy_poll")
}

func lookBuffers(h *Host, _ Target) Finding {
	var settings []Setting
	var current []string
	for _, name := range []string{"rmem_max", "wmem_max"} {
		path := "proc/sys/net/core/" + name
		n, err := h.readInt(path)
		if err != nil {
			return unreadable(err)
		}
		current = append(current, fmt.Sprintf("%s %d", name, n))
		if n < bufferWanted {
			settings = append(settings, Setting{KindFile, path, strconv.Itoa(bufferWanted)})
		}
	}
	if settings == nil {
		return ok(strings.Join(current, ", "))
	}
	return h.change(strings.Join(current, ", "), settings...)
}

func lookJIT(h *Host, _ Target) Finding {
	const path = "proc/sys/net/core/bpf_jit_enable"
	v, err := h.read(path)
	switch {
	case err != nil:
		return unreadable(err)
	case v == "1":
		return ok(v)
	}
	return h.change(v, Setting{KindFile, path, "1"})
}
