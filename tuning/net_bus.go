package tuning

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// busItems are where the card sits and which cores its interrupts go to.
var busItems = []Item{
	{Name: "NIC memory node", Group: groupNet, Wanted: "that of the hot cores", Weight: 5, For: bareMetal,
		Why:  "each packet of a card of another socket crosses the link between them, twice",
		How:  "give the hot threads cores of the card's node, or put the card into a slot of theirs",
		Look: onInterface(lookNode)},
	{Name: "PCIe link", Group: groupNet, Wanted: "as wide and fast as the card can", Weight: 3, For: bareMetal,
		Why:  "a card in a slot of fewer lanes moves each packet more slowly",
		How:  "put the card into a wider slot, or look at the slot's speed in the firmware's set-up",
		Look: onInterface(lookPCIe)},
	{Name: "NIC queue interrupts", Group: groupNet, Wanted: "on cores of the card's node, none of them hot", Weight: 3,
		For:  bareMetal,
		Why:  "an interrupt of the card takes a hot core off its thread, and on another socket it is late",
		Look: onInterface(lookQueueInterrupts)},
}

// nicNode is the memory node that a card is on, and its cores; -1 where there is one node only or no card.
func (h *Host) nicNode(name string) (node int64, cores []int, err error) {
	dir, err := h.netDir(name)
	if err != nil {
		return -1, nil, err
	}
	node, err = h.readInt(dir + "/device/numa_node")
	if err != nil || node < 0 {
		return -1, nil, err
	}
	cores, err = h.coreList(fmt.Sprintf("sys/devices/system/node/node%d/cpulist", node))
	return node, cores, err
}

func lookNode(h *Host, name string, t Target) Finding {
	node, cores, err := h.nicNode(name)
	switch {
	case err != nil:
		return unreadable(err)
	case node < 0:
		return unsupported("%s is on no memory node of its own", name)
	case len(t.Cores) == 0:
		return unsupported("node %d; no hot core given", node)
	}
	if far := missing(t.Cores, cores); len(far) > 0 {
		return differs(fmt.Sprintf("node %d, hot cores %s are not", node, coresOr(far)))
	}
	return ok(fmt.Sprintf("node %d", node))
}

func lookPCIe(h *Host, name string, _ Target) Finding {
	dir, err := h.netDir(name)
	if err != nil {
		return unreadable(err)
	}
	var v [4]string
	for i, file := range []string{"current_link_speed", "max_link_speed", "current_link_width", "max_link_width"} {
		if v[i], err = h.read(dir + "/device/" + file); err != nil {
			return unreadable(err)
		}
	}
	if strings.Contains(v[0], "nknown") {
		return unsupported("the bus does not tell")
	}
	current := fmt.Sprintf("%s x%s", v[0], v[2])
	if v[0] == v[1] && v[2] == v[3] {
		return ok(current)
	}
	return differs(fmt.Sprintf("%s of %s x%s", current, v[1], v[3]))
}

func lookQueueInterrupts(h *Host, name string, t Target) Finding {
	dir, err := h.netDir(name)
	if err != nil {
		return unreadable(err)
	}
	vectors := h.glob(dir + "/device/msi_irqs/[0-9]*")
	node, near, err := h.nicNode(name)
	if len(vectors) == 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unsupported("%s tells of no interrupts", name)
	}
	var on []int
	for _, path := range vectors {
		irq := "proc/irq/" + filepath.Base(path)
		cores, err := h.coreList(irq + "/effective_affinity_list")
		if err != nil {
			if cores, err = h.coreList(irq + "/smp_affinity_list"); err != nil {
				continue // a vector that no queue has taken
			}
		}
		on = append(on, cores...)
	}
	if len(on) == 0 {
		return unsupported("no interrupt of %s is in use", name)
	}
	slices.Sort(on)
	on = slices.Compact(on)
	current := fmt.Sprintf("%d vectors on cores %s", len(vectors), coresOr(on))
	hot := slices.ContainsFunc(on, func(c int) bool { return slices.Contains(t.Cores, c) })
	switch far := missing(on, near); {
	case hot:
		current += ", of which some are hot"
	case node >= 0 && len(far) > 0:
		current += fmt.Sprintf(", of which %s are not of node %d", coresOr(far), node)
	default:
		return ok(current)
	}
	f := differs(current)
	f.Fix = fmt.Sprintf("write the cores to /proc/irq/N/smp_affinity_list for each N in /%s/device/msi_irqs, with irqbalance off", dir)
	return f
}
