package tuning

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// driverItems are settings of the interface's driver.
var driverItems = []Item{
	{Name: "NIC rings", Group: groupNet, Weight: 3, For: bareMetal,
		Wanted: "1024 descriptors or more, as far as the card goes (a change takes the link down for a moment)",
		Why:    "the card drops a burst that finds its ring full, and only its own counters tell",
		Look:   onInterface(lookRings)},
	{Name: "interrupt coalescing", Group: groupNet, Wanted: "rx-usecs 0, adaptive off", Weight: 3, For: bareMetal,
		Why:  "a card that collects packets before it interrupts adds that time to each of them",
		Look: onInterface(lookCoalescing)},
	{Name: "NIC channels", Group: groupNet, Weight: 1, For: bareMetal,
		Wanted: "no more receive queues than cores that are not hot",
		Why:    "each queue has an interrupt, and those that are left over land on hot cores",
		Look:   onInterface(lookChannels)},
	{Name: "flow steering", Group: groupNet, Wanted: "rules (ntuple), or one queue", Weight: 3, For: bareMetal,
		Why:  "an AF_XDP socket sees one queue: what the card puts elsewhere goes by the kernel",
		How:  "a card with flow rules; else the node takes the flow hash or the number of queues (network.xdp.steering)",
		Look: onInterface(lookSteering)},
	{Name: "large receive offload", Group: groupNet, Wanted: "off", Weight: 3, For: bareMetal,
		Why:  "a card that merges packets holds the first back, and most drivers refuse XDP meanwhile",
		Look: onInterface(featureOff("rx-lro"))},
	{Name: "hardware GRO", Group: groupNet, Wanted: "off", Weight: 3, For: bareMetal,
		Why:  "a card that merges packets holds the first back until no more come",
		Look: onInterface(featureOff("rx-gro-hw"))},
	{Name: "UDP GRO forwarding", Group: groupNet, Wanted: "off", Weight: 1, For: bareMetal,
		Why:  "datagrams that are merged on their way wait for each other",
		Look: onInterface(featureOff("rx-udp-gro-forwarding"))},
	{Name: "VLAN stripping", Group: groupNet, Wanted: "off", Weight: 1, For: bareMetal,
		Why:  "a tag that the card takes off is hidden from XDP, which then takes the packet for one of another network",
		Look: onInterface(featureOff("rx-vlan-hw-parse"))},
	{Name: "pause frames", Group: groupNet, Wanted: "autoneg off, rx off, tx off", Weight: 3, For: bareMetal,
		Why:  "one slow receiver stops the whole port, for everybody behind it",
		Look: onInterface(lookPause)},
	{Name: "energy-efficient Ethernet", Group: groupNet, Wanted: "off", Weight: 3, For: bareMetal,
		Why:  "a link that sleeps between packets takes microseconds to wake for the next",
		Look: onInterface(lookEEE)},
}

// onInterface is a look at an interface that is there.
func onInterface(look func(h *Host, name string, t Target) Finding) func(*Host, Target) Finding {
	return func(h *Host, t Target) Finding {
		if t.Interface == "" {
			return unsupported("no interface given")
		}
		if _, err := h.Link(t.Interface); err != nil {
			return unsupported("%v", err)
		}
		return look(h, t.Interface, t)
	}
}

// ethtool reads several settings of a driver, all or none.
func (h *Host) ethtool(name string, settings ...string) ([]string, error) {
	values := make([]string, len(settings))
	for i, s := range settings {
		var err error
		if values[i], err = h.Get(KindEthtool, name+"/"+s); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func ethtoolSetting(name, setting, wanted string) Setting {
	return Setting{Kind: KindEthtool, Name: name + "/" + setting, Wanted: wanted}
}

// driverLacks is the finding of something that the driver does not tell.
func driverLacks(h *Host, name string, err error) Finding {
	if errors.Is(err, fs.ErrPermission) || !errors.Is(err, errors.ErrUnsupported) {
		return unreadable(err)
	}
	link, _ := h.Link(name)
	return unsupported("driver %s of %s does not have it", link.Driver, name)
}

// ringWanted is how many descriptors a ring has at least, where the card has as many.
const ringWanted = 1024

func lookRings(h *Host, name string, _ Target) Finding {
	v, err := h.ethtool(name, "rx-ring", "rx-ring-max", "tx-ring", "tx-ring-max")
	if err != nil {
		return driverLacks(h, name, err)
	}
	current := fmt.Sprintf("rx %s of %s, tx %s of %s", v[0], v[1], v[2], v[3])
	var settings []Setting
	for i, setting := range []string{"rx-ring", "tx-ring"} {
		now, _ := strconv.Atoi(v[2*i])
		most, _ := strconv.Atoi(v[2*i+1])
		if most == 0 {
			return unsupported("%s has no %s of its own", name, setting)
		}
		if wanted := min(ringWanted, most); now < wanted {
			settings = append(settings, ethtoolSetting(name, setting, strconv.Itoa(wanted)))
		}
	}
	if settings == nil {
		return ok(current)
	}
	return h.change(current, settings...)
}

func lookCoalescing(h *Host, name string, _ Target) Finding {
	v, err := h.ethtool(name, "rx-usecs", "adaptive-rx", "adaptive-tx")
	if err != nil {
		return driverLacks(h, name, err)
	}
	current := fmt.Sprintf("rx-usecs %s, adaptive rx %s, tx %s", v[0], v[1], v[2])
	// A card that adapts by itself takes no fixed time: adapting goes first.
	return h.wantAll(current, []string{v[1], v[2], v[0]}, ethtoolSetting(name, "adaptive-rx", "off"),
		ethtoolSetting(name, "adaptive-tx", "off"), ethtoolSetting(name, "rx-usecs", "0"))
}

// wantAll is OK when every value is as its setting wants it, else a change of those that are not.
func (h *Host) wantAll(current string, values []string, settings ...Setting) Finding {
	var missing []Setting
	for i, s := range settings {
		if values[i] != s.Wanted {
			missing = append(missing, s)
		}
	}
	if missing == nil {
		return ok(current)
	}
	return h.change(current, missing...)
}

func lookChannels(h *Host, name string, t Target) Finding {
	v, err := h.ethtool(name, "combined", "rx", "max-combined", "max-rx")
	if err != nil {
		return driverLacks(h, name, err)
	}
	current := fmt.Sprintf("combined %s of %s, rx %s of %s", v[0], v[2], v[1], v[3])
	combined, _ := strconv.Atoi(v[0])
	rx, _ := strconv.Atoi(v[1])
	cores, err := h.housekeeping(t)
	if err != nil {
		return unreadable(err)
	}
	room := max(len(cores), 1)
	switch {
	case combined+rx <= room:
		return ok(current)
	case rx == 0:
		return h.change(current, ethtoolSetting(name, "combined", strconv.Itoa(room)))
	case combined == 0:
		return h.change(current, ethtoolSetting(name, "rx", strconv.Itoa(room)))
	}
	f := differs(current)
	f.Fix = fmt.Sprintf("ethtool -L %s rx %d", name, max(room-combined, 1))
	return f
}

func lookSteering(h *Host, name string, _ Target) Finding {
	ntuple, err := h.Get(KindEthtool, name+"/feature/rx-ntuple-filter")
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return driverLacks(h, name, err)
	}
	switch ntuple {
	case "on", "on" + featureFixed:
		return ok("by rules (ntuple on)")
	case "off":
		return ok("by rules (the node turns ntuple on)")
	}
	queues, err := h.ethtool(name, "combined", "rx")
	if err != nil {
		return driverLacks(h, name, err)
	}
	if n := strings.Join(queues, " "); n == "1 0" || n == "0 1" {
		return ok("one queue")
	}
	return differs(fmt.Sprintf("no flow rules, combined %s, rx %s", queues[0], queues[1]))
}

// featureOff wants an offload off.
func featureOff(feature string) func(*Host, string, Target) Finding {
	return func(h *Host, name string, _ Target) Finding {
		now, err := h.Get(KindEthtool, name+"/feature/"+feature)
		switch {
		case err != nil:
			return driverLacks(h, name, err)
		case now == "off" || now == "off"+featureFixed:
			return ok(now)
		case now == "on"+featureFixed:
			return Finding{State: Immovable, Current: now, Fix: "the driver has it always on: another card, or another driver"}
		}
		return h.change(now, ethtoolSetting(name, "feature/"+feature, "off"))
	}
}

func lookPause(h *Host, name string, _ Target) Finding {
	v, err := h.ethtool(name, "pause-autoneg", "pause-rx", "pause-tx")
	if err != nil {
		return driverLacks(h, name, err)
	}
	current := fmt.Sprintf("autoneg %s, rx %s, tx %s", v[0], v[1], v[2])
	if v[1] == "off" && v[2] == "off" {
		return ok(current)
	}
	return h.wantAll(current, v, ethtoolSetting(name, "pause-autoneg", "off"), ethtoolSetting(name, "pause-rx", "off"),
		ethtoolSetting(name, "pause-tx", "off"))
}

func lookEEE(h *Host, name string, _ Target) Finding {
	v, err := h.ethtool(name, "eee", "eee-supported")
	if err != nil {
		return driverLacks(h, name, err)
	}
	if v[0] == "on" {
		return h.change("on", ethtoolSetting(name, "eee", "off"))
	}
	if v[1] == "0" {
		return unsupported("the link of %s does not have it", name)
	}
	return ok("off")
}
