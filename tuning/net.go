package tuning

import (
	"fmt"
	"slices"
)

const groupNet = "network"

// netItems are of the data interface and of the network stack. Queues have settings of their own, which go and come back with
// them: stackItems are before driverItems, which change how many there are, so that a revert has the queues first.
var netItems = slices.Concat([]Item{
	{Name: "interface", Group: groupNet, Wanted: "up, driver with zero-copy", Weight: 10, For: bareMetal,
		Why: "a driver without zero-copy costs a copy and a system call a packet",
		How: "see docs/operations.md, NICs", Look: lookInterface},
	{Name: "MTU", Group: groupNet, Wanted: "1500 or more, the same on every node and switch port", Weight: 3, For: everywhere,
		Why:  "a frame takes what fits into it: what it costs is by the frame",
		Look: onInterface(lookMTU)},
}, busItems, stackItems, driverItems, multicastItems)

// zeroCopyDrivers have AF_XDP zero-copy in the mainline kernel (docs.ebpf.io, XDP driver table).
var zeroCopyDrivers = []string{"ice", "i40e", "ixgbe", "igc", "mlx5_core", "gve", "stmmac", "nfp", "fsl_dpaa2_eth"}

func lookInterface(h *Host, t Target) Finding {
	if t.Interface == "" {
		return unsupported("no interface given")
	}
	link, err := h.Link(t.Interface)
	if err != nil {
		return differs(err.Error())
	}
	state := "down"
	if link.Up {
		state = "up"
	}
	current := fmt.Sprintf("%s %s, driver %s", t.Interface, state, link.Driver)
	return verdict(link.Up && slices.Contains(zeroCopyDrivers, link.Driver), current)
}

// mtuWanted is that of plain Ethernet, which everything between nodes carries.
const mtuWanted = 1500

func lookMTU(h *Host, name string, _ Target) Finding {
	link, err := h.Link(name)
	if err != nil {
		return unreadable(err)
	}
	current := fmt.Sprint(link.MTU)
	if link.MTU >= mtuWanted {
		return ok(current)
	}
	f := differs(current)
	f.Fix = fmt.Sprintf("ip link set %s mtu %d", name, mtuWanted)
	return f
}
