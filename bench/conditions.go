package bench

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"lockstep/agent"
	"lockstep/tuning"
)

// Unknown is said of what could not be read, or was not looked at.
const Unknown = "unknown"

// NoScore is the tuning score of a host whose tuning was not looked at.
const NoScore = -1

// Conditions are what a host sets, beside its kernel and cores.
type Conditions struct {
	Isolated    string `json:"isolated"`     // cores that the kernel leaves alone, as it lists them; "none"
	ClockSource string `json:"clock_source"` // of the kernel's clocks
	Hypervisor  string `json:"hypervisor"`   // what the machine runs on; "none" for a real one
	NICDriver   string `json:"nic_driver"`   // "veth" and "loopback" in a lab
	NICMode     string `json:"nic_mode"`     // how packets come from it: "kernel sockets", "xdp native" and so on
	WriteCache  string `json:"write_cache"`  // of the disk below the nodes' directories: "write back", "write through", "none"
	TuningScore int    `json:"tuning_score"` // 0 to 100, of a host for a leader; NoScore
	// Unfit are the reasons why figures taken here are not what the product can do. Empty: the host is fit.
	Unfit []string `json:"unfit"`
}

// Reasons why a figure is not what the product can do.
const (
	UnfitHypervisor = "hypervisor"        // another machine's scheduler takes cores away
	UnfitIsolated   = "no isolated cores" // the kernel puts other work on the hot threads' cores
	UnfitClock      = "clock source"      // reading the time takes a system call
	UnfitNIC        = "virtual network"   // packets do not cross a wire
	UnfitMode       = "packet mode"       // packets are copied, or pass the kernel's stack
	UnfitShared     = "shared host"       // nodes and clients share cores
	UnfitSteal      = "steal"             // time was taken away meanwhile
	UnfitJitter     = "jitter"            // a thread that spins is taken off its core for long
	UnfitTuning     = "tuning score"      // the host is not prepared
	UnfitUnknown    = "unknown"           // not everything could be looked at
)

// Where a host stops to be fit.
const (
	fitStealPct  = 0.1 // per cent
	fitJitterUs  = 20  // microseconds, the 99th percentile of pauses
	fitLeastTune = 80  // tuning score
)

// Judge says again why the row's figures are not what the product can do, from the conditions that it has. Rows are judged when
// they are written.
func (r *Row) Judge() {
	r.Unfit = []string{}
	add := func(reason string, is bool) {
		if is {
			r.Unfit = append(r.Unfit, reason)
		}
	}
	add(UnfitHypervisor, r.Hypervisor != "none" && r.Hypervisor != Unknown && r.Hypervisor != "")
	add(UnfitIsolated, r.Isolated == "none")
	add(UnfitClock, r.ClockSource != "tsc" && r.ClockSource != Unknown && r.ClockSource != "")
	virtual := r.NICDriver == "veth" || r.NICDriver == "loopback" || r.NICDriver == "bridge"
	add(UnfitNIC, virtual)
	add(UnfitMode, r.NICMode == "xdp generic" || r.NICMode == "kernel sockets")
	add(UnfitShared, virtual && r.Nodes > 1)
	add(UnfitSteal, r.StealPct > fitStealPct)
	add(UnfitJitter, r.JitterP99Us > fitJitterUs)
	add(UnfitTuning, r.TuningScore >= 0 && r.TuningScore < fitLeastTune)
	add(UnfitUnknown, r.TuningScore < 0 ||
		slices.ContainsFunc([]string{r.Isolated, r.ClockSource, r.Hypervisor, r.NICDriver}, func(s string) bool { return s == Unknown || s == "" }))
}

// ThisConditions are those of this host. They are read once.
func ThisConditions() Conditions {
	c := thisConditions()
	c.Unfit = []string{}
	return c
}

var thisConditions = sync.OnceValue(func() Conditions {
	c := readConditions("/")
	c.TuningScore = tuning.Score(tuning.Check(tuning.ThisHost(), tuning.Target{Profile: tuning.Leader}))
	return c
})

// readConditions reads what this host sets, from the files below root.
func readConditions(root string) Conditions {
	c := Conditions{Isolated: Unknown, ClockSource: Unknown, Hypervisor: readHypervisor(root), NICDriver: Unknown, NICMode: Unknown,
		WriteCache: Unknown, TuningScore: NoScore, Unfit: []string{}}
	if text, ok := readWord(filepath.Join(root, "sys/devices/system/cpu/isolated")); ok {
		if c.Isolated = text; text == "" {
			c.Isolated = "none"
		}
		if _, err := agent.ParseCores(text); err != nil {
			c.Isolated = Unknown
		}
	}
	if text, ok := readWord(filepath.Join(root, "sys/devices/system/clocksource/clocksource0/current_clocksource")); ok && text != "" {
		c.ClockSource = text
	}
	return c
}

// readHypervisor names what a machine runs on. The processor says whether it is a real one, the firmware what else it is.
func readHypervisor(root string) string {
	text, err := os.ReadFile(filepath.Join(root, "proc/cpuinfo"))
	if err != nil {
		return Unknown
	}
	virtual := false
	for line := range strings.SplitSeq(string(text), "\n") {
		if name, flags, ok := strings.Cut(line, ":"); ok && (strings.HasPrefix(name, "flags") || strings.HasPrefix(name, "Features")) {
			virtual = slices.Contains(strings.Fields(flags), "hypervisor")
			break
		}
	}
	if !virtual {
		return "none"
	}
	for _, file := range []string{"sys/hypervisor/type", "sys/class/dmi/id/sys_vendor"} {
		if name, ok := readWord(filepath.Join(root, file)); ok && name != "" {
			return name
		}
	}
	return "unnamed"
}

func readWord(path string) (string, bool) {
	text, err := os.ReadFile(path)
	return strings.TrimSpace(string(text)), err == nil
}

// SetNIC fills in over what the row's packets went: the interface's driver, and how packets come from it.
func (r *Row) SetNIC(driver string) {
	switch r.NICDriver = driver; {
	case r.Transport == "xdp":
		r.NICMode = "xdp " + r.Mode
	case r.Transport == "udp":
		r.NICMode = "kernel sockets"
	default:
		r.NICDriver, r.NICMode = "none", "none"
	}
}

// nicDriver names the driver of the interface that a target is reached over.
func (t *Target) nicDriver() string {
	name := t.Interface
	if name == "" {
		name = interfaceOf(t.Local.IP)
	}
	return NICDriver(name)
}

// interfaceOf is the interface that has an address; empty when none has.
func interfaceOf(ip [4]byte) string {
	all, err := net.Interfaces()
	if err != nil {
		return ""
	}
	for i := range all {
		addrs, _ := all[i].Addrs()
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.Equal(net.IP(ip[:])) {
				return all[i].Name
			}
		}
	}
	return ""
}

// NICDriver names the driver of an interface, and the link's speed where it says one.
func NICDriver(name string) string { return nicDriver("/", name) }

func nicDriver(root, name string) string {
	class := filepath.Join(root, "sys/class/net", name)
	if _, err := os.Stat(class); err != nil || name == "" {
		return Unknown
	}
	driver, err := os.Readlink(filepath.Join(class, "device/driver"))
	if err != nil {
		return virtualDriver(class, name)
	}
	words := filepath.Base(driver)
	if text, ok := readWord(filepath.Join(class, "speed")); ok {
		if mbit, err := strconv.Atoi(text); err == nil && mbit > 0 {
			words += ", " + text + " Mbit/s"
		}
	}
	return words
}

// virtualDriver names what an interface without a device is.
func virtualDriver(class, name string) string {
	kind := ""
	if text, err := os.ReadFile(filepath.Join(class, "uevent")); err == nil {
		for line := range strings.SplitSeq(string(text), "\n") {
			if value, ok := strings.CutPrefix(line, "DEVTYPE="); ok {
				kind = value
			}
		}
	}
	peer, _ := readWord(filepath.Join(class, "iflink"))
	own, _ := readWord(filepath.Join(class, "ifindex"))
	switch {
	case kind != "":
		return kind
	case name == "lo":
		return "loopback"
	case peer != own: // it is one end of something
		return "veth"
	}
	return "virtual"
}

// WriteCache is what the kernel says of the write cache of the device below a directory: "none" without a device.
func WriteCache(dir string) string {
	_, path, ok := blockDevice(dir)
	if !ok {
		return "none"
	}
	if text, ok := readWord(filepath.Join(path, "queue/write_cache")); ok {
		return text
	}
	return Unknown
}
