package tuning

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"lockstep/agent"
)

// Host is the machine as the check sees it: a file tree, and what only system calls tell.
type Host struct {
	Root      string // "/" in production
	MemlockOK bool   // locked memory is unlimited or the process may lock any
	Memlock   string // the limit in words
	// Link asks the kernel about an interface: /sys shows those of the namespace that mounted it, which may be another.
	Link func(name string) (Link, error)
	// Device resolves a directory to its block device's name under /sys/class/block; nil uses stat.
	Device func(dir string) (string, error)
}

// Link is what matters of an interface.
type Link struct {
	Up     bool
	MTU    int
	Driver string
}

// ThisHost is the machine that the process runs on.
func ThisHost() *Host {
	h := &Host{Root: "/", Link: askLink, Device: blockDevice}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err == nil {
		h.Memlock = fmt.Sprintf("%d KiB", limit.Cur>>10)
		if limit.Cur == unix.RLIM_INFINITY {
			h.MemlockOK, h.Memlock = true, "unlimited"
		}
	}
	if os.Geteuid() == 0 {
		h.MemlockOK, h.Memlock = true, h.Memlock+", root"
	}
	return h
}

// read returns a file's text, trimmed.
func (h *Host) read(path string) (string, error) {
	b, err := os.ReadFile(filepath.Join(h.Root, path))
	return strings.TrimSpace(string(b)), err
}

func (h *Host) glob(pattern string) []string {
	paths, _ := filepath.Glob(filepath.Join(h.Root, pattern))
	for i, p := range paths {
		paths[i], _ = filepath.Rel(h.Root, p)
	}
	return paths
}

func lookIsolation(h *Host, t Target) (State, string) {
	text, err := h.read("sys/devices/system/cpu/isolated")
	if err != nil {
		return Unknown, err.Error()
	}
	isolated, err := agent.ParseCores(text)
	if err != nil {
		return Unknown, err.Error()
	}
	if len(isolated) == 0 {
		return Differs, "none isolated"
	}
	for _, core := range t.Cores {
		if !slices.Contains(isolated, core) {
			return Differs, fmt.Sprintf("%s isolated, core %d is not", text, core)
		}
	}
	return OK, text
}

func lookGovernor(h *Host, _ Target) (State, string) {
	paths := h.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
	if len(paths) == 0 {
		return Unsupported, "no cpufreq"
	}
	for _, p := range paths {
		governor, err := h.read(p)
		if err != nil {
			return Unknown, err.Error()
		}
		if governor != "performance" {
			return Differs, governor
		}
	}
	return OK, "performance"
}

func lookIdleStates(h *Host, _ Target) (State, string) {
	states := h.glob("sys/devices/system/cpu/cpu0/cpuidle/state[0-9]*")
	if len(states) == 0 {
		return Unsupported, "no cpuidle"
	}
	for _, s := range states {
		name, _ := h.read(s + "/name")
		disabled, _ := h.read(s + "/disable")
		text, err := h.read(s + "/latency")
		latency, err2 := strconv.Atoi(text)
		if err != nil || err2 != nil {
			return Unknown, s + "/latency cannot be read"
		}
		if latency > 10 && disabled != "1" {
			return Differs, fmt.Sprintf("%s (%d us) enabled", name, latency)
		}
	}
	return OK, "shallow only"
}

func lookClock(h *Host, _ Target) (State, string) {
	source, err := h.read("sys/devices/system/clocksource/clocksource0/current_clocksource")
	if err != nil {
		return Unknown, err.Error()
	}
	return verdict(source == "tsc"), source
}

func lookHugePages(h *Host, _ Target) (State, string) {
	text, err := h.read("sys/kernel/mm/transparent_hugepage/enabled")
	if err != nil {
		return Unsupported, "no transparent huge pages"
	}
	_, chosen, _ := strings.Cut(text, "[")
	chosen, _, _ = strings.Cut(chosen, "]")
	return verdict(chosen == "never" || chosen == "madvise"), chosen
}

func lookSwap(h *Host, _ Target) (State, string) {
	text, err := h.read("proc/swaps")
	if err != nil {
		return Unsupported, "no swap in this kernel"
	}
	lines := strings.Split(text, "\n")
	if len(lines) <= 1 {
		return OK, "off"
	}
	return Differs, strings.Fields(lines[1])[0]
}

func lookMemlock(h *Host, _ Target) (State, string) { return verdict(h.MemlockOK), h.Memlock }

// zeroCopyDrivers have AF_XDP zero-copy in the mainline kernel (docs.ebpf.io, XDP driver table).
var zeroCopyDrivers = []string{"ice", "i40e", "ixgbe", "igc", "mlx5_core", "gve", "stmmac", "nfp", "fsl_dpaa2_eth"}

func lookInterface(h *Host, t Target) (State, string) {
	if t.Interface == "" {
		return Unsupported, "no interface given"
	}
	link, err := h.Link(t.Interface)
	if err != nil {
		return Differs, err.Error()
	}
	state := "down"
	if link.Up {
		state = "up"
	}
	current := fmt.Sprintf("%s %s, MTU %d, driver %s", t.Interface, state, link.MTU, link.Driver)
	return verdict(link.Up && link.MTU >= 1500 && slices.Contains(zeroCopyDrivers, link.Driver)), current
}

// askLink asks about an interface of this thread's network namespace.
func askLink(name string) (Link, error) {
	device, err := net.InterfaceByName(name)
	if err != nil {
		return Link{}, fmt.Errorf("%s does not exist", name)
	}
	link := Link{Up: device.Flags&net.FlagRunning != 0, MTU: device.MTU, Driver: "unknown"}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return link, nil
	}
	defer unix.Close(fd)
	if info, err := unix.IoctlGetEthtoolDrvinfo(fd, name); err == nil {
		link.Driver = unix.ByteSliceToString(info.Driver[:])
	}
	return link, nil
}

func lookDisk(h *Host, t Target) (State, string) {
	if t.Dir == "" || h.Device == nil {
		return Unsupported, "no directory given"
	}
	device, err := h.Device(t.Dir)
	if err != nil {
		return Unsupported, err.Error()
	}
	cache, err := h.read("sys/class/block/" + device + "/queue/write_cache")
	if err != nil {
		return Unknown, err.Error()
	}
	return verdict(cache == "write through"), device + ": " + cache
}

func lookHypervisor(h *Host, _ Target) (State, string) {
	text, err := h.read("proc/cpuinfo")
	if err != nil {
		return Unknown, err.Error()
	}
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, "flags") && slices.Contains(strings.Fields(line), "hypervisor") {
			return Differs, "virtual machine"
		}
	}
	return OK, "none"
}

func verdict(ok bool) State {
	if ok {
		return OK
	}
	return Differs
}

// blockDevice finds the block device under a directory.
func blockDevice(dir string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return "", err
	}
	link, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)))
	if err != nil {
		return "", fmt.Errorf("%s is not on a block device", dir)
	}
	device := filepath.Base(link)
	if _, err := os.Stat("/sys/class/block/" + device + "/partition"); err == nil {
		device = filepath.Base(filepath.Dir(link))
	}
	return device, nil
}
