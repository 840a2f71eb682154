package tuning

import "strings"

const groupMemory = "memory"

// memoryItems are of the kernel's memory management.
var memoryItems = []Item{
	{Name: "transparent huge pages", Group: groupMemory, Wanted: "never or madvise", Weight: 3, For: everywhere,
		Why: "compaction stalls any thread that touches memory", Look: lookHugePages},
	{Name: "swap", Group: groupMemory, Wanted: "off", Weight: 5, For: everywhere,
		Why: "a page that was swapped out stalls the thread for a disk read", How: "swapoff -a", Look: lookSwap},
}

func lookHugePages(h *Host, _ Target) Finding {
	const path = "sys/kernel/mm/transparent_hugepage/enabled"
	chosen, err := h.read(path)
	if err != nil {
		return unreadable(err)
	}
	if chosen == "never" || chosen == "madvise" {
		return ok(chosen)
	}
	return h.change(chosen, Setting{KindFile, path, "madvise"})
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
