package tuning

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// multicastItems are what groups need.
var multicastItems = []Item{
	{Name: "multicast", Group: groupNet, Wanted: "on", Weight: 10, For: everywhere,
		Why: "followers get the log by multicast: an interface without it joins no group",
		How: "ip link set INTERFACE multicast on", Look: onInterface(lookMulticast)},
	{Name: "IGMP version", Group: groupNet, Wanted: "2 or 3", Weight: 3, For: everywhere,
		Why:  "a host that speaks version 1 never says that it leaves a group, and many switches do not hear it",
		Look: onInterface(lookIGMP)},
	{Name: "group memberships", Group: groupNet, Wanted: "20 or more a socket", Weight: 1, For: everywhere,
		Why:  "a join beyond the limit fails",
		Look: atLeast("proc/sys/net/ipv4/igmp_max_memberships", 20)},
	{Name: "reverse path filter", Group: groupNet, Wanted: "off (0) or loose (2)", Weight: 3, For: everywhere,
		Why:  "on a host with several networks a strict filter drops multicast whose source it would reach by another",
		Look: onInterface(lookReversePath)},
	{Name: "IGMP querier", Group: groupNet, Wanted: "on, or no snooping", Weight: 10, For: everywhere,
		Why: "a bridge that snoops and hears no queries forgets memberships after minutes, and the log stops coming",
		How: "have a switch or router ask for memberships (snooping querier)", Look: onInterface(lookQuerier)},
}

func lookMulticast(h *Host, name string, _ Target) Finding {
	link, err := h.Link(name)
	if err != nil {
		return unreadable(err)
	}
	if link.Multicast {
		return ok("on")
	}
	f := differs("off")
	f.Fix = fmt.Sprintf("ip link set %s multicast on", name)
	return f
}

func lookIGMP(h *Host, name string, _ Target) Finding {
	var values []string
	var settings []Setting
	for _, scope := range []string{"all", name} {
		path := "proc/sys/net/ipv4/conf/" + scope + "/force_igmp_version"
		v, err := h.read(path)
		if err != nil {
			return unreadable(err)
		}
		values = append(values, v)
		if v == "1" {
			settings = append(settings, Setting{KindFile, path, "0"})
		}
	}
	current := fmt.Sprintf("all %s, %s %s (0: what the querier speaks)", values[0], name, values[1])
	if settings == nil {
		return ok(current)
	}
	return h.change(current, settings...)
}

// lookReversePath knows that the greater of the two values counts: 0 off, 1 strict, 2 loose.
func lookReversePath(h *Host, name string, _ Target) Finding {
	path := "proc/sys/net/ipv4/conf/" + name + "/rp_filter"
	all, err := h.readInt("proc/sys/net/ipv4/conf/all/rp_filter")
	if err != nil {
		return unreadable(err)
	}
	own, err := h.readInt(path)
	if err != nil {
		return unreadable(err)
	}
	current := fmt.Sprintf("all %d, %s %d", all, name, own)
	if max(all, own) != 1 {
		return ok(current)
	}
	return h.change(current, Setting{KindFile, path, "2"})
}

// lookQuerier sees the bridges of this host only: a switch's querier shows in that multicast goes on for long.
func lookQuerier(h *Host, name string, _ Target) Finding {
	dir, err := h.netDir(name)
	if err != nil {
		return unreadable(err)
	}
	bridge := dir
	if master, err := os.Readlink(filepath.Join(h.Root, dir, "brport/bridge")); err == nil {
		bridge = "sys/class/net/" + filepath.Base(master)
	}
	bridge += "/bridge"
	if !h.exists(bridge) {
		return unsupported("%s is not of a bridge of this host; ask the switch", name)
	}
	snooping, err := h.read(bridge + "/multicast_snooping")
	if err != nil {
		return unreadable(err)
	}
	querier, err := h.read(bridge + "/multicast_querier")
	if err != nil {
		return unreadable(err)
	}
	of := filepath.Base(filepath.Dir(bridge))
	current := fmt.Sprintf("bridge %s: snooping %s, querier %s", of, onOff(snooping), onOff(querier))
	if snooping == "0" || querier != "0" {
		return ok(current)
	}
	return h.change(current, Setting{KindFile, bridge + "/multicast_querier", "1"})
}

func onOff(v string) string {
	if strings.TrimLeft(v, "0") == "" {
		return "off"
	}
	return "on"
}
