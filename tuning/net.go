package tuning

import (
	"fmt"
	"slices"
)

const groupNet = "network"

// netItems are of the data interface.
var netItems = []Item{
	{Name: "interface", Group: groupNet, Wanted: "up, MTU 1500 or more, driver with zero-copy", Weight: 10, For: bareMetal,
		Why: "a driver without zero-copy costs a copy and a system call a packet",
		How: "see docs/operations.md, NICs", Look: lookInterface},
}

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
	current := fmt.Sprintf("%s %s, MTU %d, driver %s", t.Interface, state, link.MTU, link.Driver)
	return verdict(link.Up && link.MTU >= 1500 && slices.Contains(zeroCopyDrivers, link.Driver), current)
}
