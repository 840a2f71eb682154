package tuning

import (
	"fmt"
	"strings"
)

const groupMemory = "memory"

const vm = "proc/sys/vm/"

// memoryItems are of the kernel's memory management.
var memoryItems = []Item{
	{Name: "transparent huge pages", Group: groupMemory, Wanted: "never or madvise", Weight: 3, For: everywhere,
		Why:  "where all memory may be huge, any thread that touches some may have to wait for compaction",
		Look: oneOf("sys/kernel/mm/transparent_hugepage/enabled", "madvise", "never")},
	{Name: "huge page compaction", Group: groupMemory, Wanted: "never, defer or madvise", Weight: 3, For: everywhere,
		Why:  "a thread that touches memory compacts it first, for milliseconds",
		Look: oneOf("sys/kernel/mm/transparent_hugepage/defrag", "madvise", "never", "defer", "defer+madvise")},
	{Name: "huge page collapse", Group: groupMemory, Wanted: "khugepaged/defrag 0", Weight: 1, For: servers,
		Why:  "khugepaged moves pages together, and every core that has them mapped is interrupted",
		Look: oneOf("sys/kernel/mm/transparent_hugepage/khugepaged/defrag", "0")},
	{Name: "huge page pool", Group: groupMemory, Wanted: "32 pages of 2 MiB or more", Weight: 3, For: servers,
		Why:  "rings in pages of 4 KiB miss the address cache several times a message",
		Look: atLeast("proc/sys/vm/nr_hugepages", 32)},
	{Name: "same-page merging", Group: groupMemory, Wanted: "off", Weight: 3, For: everywhere,
		Why: "a page that was merged is copied, and faults, when it is written", Look: oneOf("sys/kernel/mm/ksm/run", "0", "2")},
	{Name: "NUMA balancing", Group: groupMemory, Wanted: "off", Weight: 5, For: everywhere,
		Why:  "the kernel unmaps pages to see who touches them: every touch is a fault",
		Look: oneOf("proc/sys/kernel/numa_balancing", "0")},
	{Name: "zone reclaim", Group: groupMemory, Wanted: "off", Weight: 1, For: everywhere,
		Why:  "a node that is full reclaims its own pages while another has free ones",
		Look: oneOf(vm+"zone_reclaim_mode", "0")},
	{Name: "swap", Group: groupMemory, Wanted: "off", Weight: 5, For: everywhere,
		Why: "a page that was swapped out stalls the thread for a disk read", How: "swapoff -a", Look: lookSwap},
	{Name: "swappiness", Group: groupMemory, Wanted: "10 or less", Weight: 1, For: everywhere,
		Why: "file pages, not a process's own, are to go when memory is short", Look: atMost(vm+"swappiness", 10)},
	{Name: "dirty pages", Group: groupMemory, Wanted: "10 % or less, written from 3 % on; or limits in bytes", Weight: 1,
		For: nodes, Why: "many dirty pages are written at once, in front of the journal's own writes", Look: lookDirty},
	{Name: "proactive compaction", Group: groupMemory, Wanted: "off", Weight: 1, For: everywhere,
		Why:  "compaction in the background moves pages under the threads that use them",
		Look: oneOf(vm+"compaction_proactiveness", "0")},
	{Name: "compaction of locked pages", Group: groupMemory, Wanted: "off", Weight: 3, For: everywhere,
		Why:  "locked pages are moved as well: a thread that touches one meanwhile waits",
		Look: oneOf(vm+"compact_unevictable_allowed", "0")},
	{Name: "watermark boost", Group: groupMemory, Wanted: "off", Weight: 1, For: everywhere,
		Why: "the kernel reclaims ahead after every fragmented allocation", Look: oneOf(vm+"watermark_boost_factor", "0")},
	{Name: "mappings", Group: groupMemory, Wanted: "262144 or more a process", Weight: 1, For: everywhere,
		Why:  "each ring, segment and umem is a mapping, and the Go runtime makes many: one too many ends the process",
		Look: atLeast(vm+"max_map_count", 262144)},
}

// oneOf wants one of some texts in a file; the first is what it is changed to.
func oneOf(path string, accepted ...string) func(*Host, Target) Finding {
	return func(h *Host, _ Target) Finding {
		text, err := h.read(path)
		if err != nil {
			return unreadable(err)
		}
		for _, word := range accepted {
			if text == word {
				return ok(text)
			}
		}
		return h.change(text, Setting{KindFile, path, accepted[0]})
	}
}

func atLeast(path string, least int64) func(*Host, Target) Finding {
	return limited(path, least, func(n int64) bool { return n >= least })
}

func atMost(path string, most int64) func(*Host, Target) Finding {
	return limited(path, most, func(n int64) bool { return n <= most })
}

// limited wants a number within a limit, and makes it the limit.
func limited(path string, limit int64, good func(int64) bool) func(*Host, Target) Finding {
	return func(h *Host, _ Target) Finding {
		n, err := h.readInt(path)
		if err != nil {
			return unreadable(err)
		}
		if good(n) {
			return ok(fmt.Sprint(n))
		}
		return h.change(fmt.Sprint(n), Setting{KindFile, path, fmt.Sprint(limit)})
	}
}

func lookSwap(h *Host, _ Target) Finding {
	text, err := h.read("proc/swaps")
	if err != nil {
		return unreadable(err)
	}
	lines := strings.Split(text, "\n")
	if len(lines) <= 1 {
		return ok("off")
	}
	return differs(strings.Fields(lines[1])[0])
}

// Limits of dirty pages, in percent of what memory is free or file pages.
const (
	dirtyPercent           = 10
	dirtyBackgroundPercent = 3
)

// lookDirty: a limit in bytes makes that in percent 0, and the other way round; one that is there in bytes is left alone.
func lookDirty(h *Host, _ Target) Finding {
	percent, err := h.readInt(vm + "dirty_ratio")
	if err != nil {
		return unreadable(err)
	}
	background, err := h.readInt(vm + "dirty_background_ratio")
	if err != nil {
		return unreadable(err)
	}
	var settings []Setting
	if percent > dirtyPercent {
		settings = append(settings, Setting{KindFile, vm + "dirty_ratio", fmt.Sprint(dirtyPercent)})
	}
	if background > dirtyBackgroundPercent { // 0 here, and above: the limit is in bytes
		settings = append(settings, Setting{KindFile, vm + "dirty_background_ratio", fmt.Sprint(dirtyBackgroundPercent)})
	}
	current := fmt.Sprintf("%d %%, written from %d %% on", percent, background)
	if len(settings) == 0 {
		return ok(current)
	}
	return h.change(current, settings...)
}
