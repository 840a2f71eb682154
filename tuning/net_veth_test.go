package tuning

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// vethItems are those that a veth on a bridge has, made wrong by spoil.
var vethItems = []string{"UDP GRO forwarding", "NIC channels", "receive packet steering", "receive flow steering",
	"interrupt deferral", "IGMP version", "reverse path filter", "IGMP querier"}

// TestOnAVeth applies to a real interface, in a network namespace with a sysfs of its own, reads back, and reverts.
func TestOnAVeth(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skipf("SKIP %s: needs root for namespaces", t.Name())
	}
	failed := make(chan error)
	go func() { // the goroutine ends locked, and its thread, which is in the new namespaces, ends with it
		runtime.LockOSThread()
		failed <- onAVeth(t)
	}()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
}

// newVeth makes tune0, a port of bridge tunebr, in namespaces of this thread's own with a /sys that shows them.
func newVeth() error {
	ns, err := netns.New()
	if err != nil {
		return err
	}
	ns.Close()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "tunebr"
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	if err := netlink.LinkAdd(bridge); err != nil {
		return err
	}
	attrs = netlink.NewLinkAttrs()
	attrs.Name, attrs.NumTxQueues, attrs.NumRxQueues = "tune0", 2, 2
	veth := netlink.NewVeth(attrs)
	veth.PeerName = "other"
	if err := netlink.LinkAdd(veth); err != nil {
		return err
	}
	return netlink.LinkSetMaster(veth, bridge)
}

// spoil makes everything wrong that this kernel lets be wrong.
func spoil(h *Host) error {
	for _, s := range []Setting{
		{KindEthtool, "tune0/feature/rx-udp-gro-forwarding", "on"},
		{KindEthtool, "tune0/rx", "2"},
		{KindFile, "sys/class/net/tune0/queues/rx-1/rps_cpus", "1"},
		{KindFile, "sys/class/net/tune0/queues/rx-0/rps_flow_cnt", "64"},
		{KindFile, "sys/class/net/tune0/napi_defer_hard_irqs", "100"},
		{KindFile, "sys/class/net/tune0/gro_flush_timeout", "20000"},
		{KindFile, "proc/sys/net/ipv4/conf/tune0/force_igmp_version", "1"},
		{KindFile, "proc/sys/net/ipv4/conf/all/rp_filter", "1"},
		{KindFile, "sys/class/net/tunebr/bridge/multicast_querier", "0"},
	} {
		if err := h.set(s.Kind, s.Name, s.Wanted); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

func onAVeth(t *testing.T) error {
	if err := newVeth(); err != nil {
		return err
	}
	h := ThisHost()
	cores, err := h.coreList(online)
	if err != nil {
		return err
	}
	// One housekeeping core: two queues are too many.
	target := Target{Profile: Leader, Interface: "tune0", Cores: cores[1:]}
	if err := spoil(h); err != nil {
		return err
	}
	before := vethSettings(h)
	o := Options{State: filepath.Join(t.TempDir(), "tune.json"), Only: vethItems}
	changes, err := Apply(h, target, o)
	if err != nil {
		return err
	}
	for _, c := range changes {
		now, err := h.Get(c.Kind, c.Name)
		if errors.Is(err, fs.ErrNotExist) && strings.Contains(c.Name, "/queues/rx-1/") {
			continue // gone with its queue; Revert has the queue back first
		}
		if c.Outcome != Changed || err != nil || now != c.To {
			t.Errorf("%s: reads back %q, %v", c, now, err)
		}
	}
	for _, item := range vethItems {
		if f := findingOf(t, h, target, item); f.State != OK {
			t.Errorf("%s is %s (%s)", item, f.State, f.Current)
		}
		if !slices.ContainsFunc(changes, func(c Change) bool { return c.Item == item }) {
			t.Errorf("%s was not wrong before", item)
		}
	}
	if again, err := Apply(h, target, o); err != nil || len(again) > 0 {
		t.Errorf("applied again: %v, %v", again, err)
	}
	if _, err := Revert(h, o); err != nil {
		return err
	}
	after := vethSettings(h)
	for _, name := range differences(before, after) {
		t.Errorf("%s was %q, is %q", name, before[name], after[name])
	}
	t.Logf("%d settings changed, %d compared", len(changes), len(after))
	return nil
}

// vethSettings is everything that can be set of the interfaces.
func vethSettings(h *Host) map[string]string {
	all := map[string]string{}
	for field := range ethtoolFields {
		if v, err := h.Get(KindEthtool, "tune0/"+field); err == nil {
			all[field] = v
		}
	}
	for _, feature := range []string{"rx-lro", "rx-gro", "rx-gro-hw", "rx-udp-gro-forwarding", "rx-vlan-hw-parse", "rx-ntuple-filter"} {
		if v, err := h.Get(KindEthtool, "tune0/feature/"+feature); err == nil {
			all[feature] = v
		}
	}
	for _, root := range []string{"/proc/sys/net", "/sys/class/net/tune0/", "/sys/class/net/tunebr/"} {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || strings.Contains(path, "/statistics/") || strings.HasSuffix(path, "_timer") {
				return nil
			}
			if info, err := d.Info(); err != nil || info.Mode()&0o200 == 0 {
				return nil
			}
			if text, err := os.ReadFile(path); err == nil {
				all[path] = string(text)
			}
			return nil
		})
	}
	return all
}

// TestASysOfAnotherNamespaceIsNotBelieved: a process that entered a namespace still sees the /sys that was mounted in
// another, where an interface of the same name may be.
func TestASysOfAnotherNamespaceIsNotBelieved(t *testing.T) {
	c := itemCase{files: onEth9(map[string]string{class + "queues/rx-0/rps_cpus": "f"}), host: elsewhere}
	f := findingOf(t, hostOf(t, c), hot, "receive packet steering")
	if f.State != Unsupported || !strings.Contains(f.Current, "another network namespace") || len(f.Settings) > 0 {
		t.Errorf("%+v", f)
	}
}
