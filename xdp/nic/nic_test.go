package nic

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
)

var (
	eth0  = Interface{Name: "eth0", Index: 7, MAC: "02:00:00:00:00:01", Driver: "fake"}
	flows = []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:7400"), netip.MustParseAddrPort("239.77.0.1:7401")}
)

func open(t *testing.T, dir string, n *fakeNIC) *Keeper {
	t.Helper()
	k, err := Open(eth0, Options{Dir: dir, Driver: n.do})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// same checks that the interface is as it was made, and that no file is left.
func same(t *testing.T, n *fakeNIC, dir string) {
	t.Helper()
	fresh := newFakeNIC()
	if n.ntuple || len(n.rules) != 0 || !slices.Equal(n.table, fresh.table) || n.ch != fresh.ch {
		t.Errorf("left: ntuple %v, rules %v, table %v, channels %+v", n.ntuple, n.rules, n.table, n.ch)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestSteering(t *testing.T) {
	ruled := map[uint32]rule{7: {flows[0], 2}, 6: {flows[1], 2}}
	for name, c := range map[string]struct {
		set   func(*fakeNIC)
		how   Steering
		queue int
		want  func(*fakeNIC) bool
		by    string
	}{
		"rules":   {nil, SteerAuto, 2, func(n *fakeNIC) bool { return n.ntuple && reflect.DeepEqual(n.rules, ruled) }, "ntuple"},
		"special": {func(n *fakeNIC) { n.special = true }, SteerRules, 2, func(n *fakeNIC) bool { return len(n.rules) == 2 }, "ntuple"},
		"hash, because there are no rules": {func(n *fakeNIC) { n.noRules = true }, SteerAuto, 3,
			func(n *fakeNIC) bool { return slices.Equal(n.table, []uint32{3, 3, 3, 3, 3, 3, 3, 3}) }, "hash"},
		"hash, because the second rule fails": {func(n *fakeNIC) { n.refuseRule = 2 }, SteerAuto, 1,
			func(n *fakeNIC) bool { return !n.ntuple && len(n.rules) == 0 && n.table[0] == 1 }, "hash"},
		"one queue": {func(n *fakeNIC) { n.noRules, n.noHash = true, true }, SteerAuto, 0,
			func(n *fakeNIC) bool { return n.ch.Receive() == 1 }, "channels"},
		"only the hash": {nil, SteerHash, 0, func(n *fakeNIC) bool { return len(n.rules) == 0 && n.table[1] == 0 }, "hash"},
	} {
		t.Run(name, func(t *testing.T) {
			n, dir := newFakeNIC(), t.TempDir()
			if c.set != nil {
				c.set(n)
			}
			k := open(t, dir, n)
			said, err := k.Steer(c.how, flows, c.queue)
			if err != nil || !c.want(n) || !strings.Contains(said, "by "+c.by) {
				t.Errorf("%q, %v: rules %v, table %v, channels %+v", said, err, n.rules, n.table, n.ch)
			}
			if err := k.Close(); err != nil {
				t.Fatal(err)
			}
			same(t, n, dir)
		})
	}
}

func TestSteeringIsRefusedWithDriverAndCommand(t *testing.T) {
	n, dir := newFakeNIC(), t.TempDir()
	n.noRules, n.noHash = true, true
	k := open(t, dir, n)
	_, err := k.Steer(SteerAuto, flows, 2)
	for _, want := range []string{"driver fake", "eth0", "ethtool -N eth0 flow-type udp4", "ethtool -X eth0", "queue 0 only",
		syscall.EOPNOTSUPP.Error()} {
		if !errors.Is(err, ErrSteering) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want it to name %q", err, want)
		}
	}
	same(t, n, dir)
	if err := k.Close(); err != nil {
		t.Error(err)
	}
}

// TestWhatADeadProcessLeftIsTakenBack: a process may die between any two commands.
func TestWhatADeadProcessLeftIsTakenBack(t *testing.T) {
	for _, special := range []bool{false, true} {
		for dies := 0; ; dies++ {
			n, dir := newFakeNIC(), t.TempDir()
			n.special = special
			left := dies
			k, err := Open(eth0, Options{Dir: dir, Driver: func(b []byte) error {
				if left == 0 {
					panic("dead")
				}
				left--
				return n.do(b)
			}})
			if err != nil {
				t.Fatal(err)
			}
			died := func() (died bool) {
				defer func() { died = recover() != nil }()
				if _, err := k.Steer(SteerRules, flows, 1); err != nil {
					t.Error(err)
				}
				return false
			}()
			k.release() // as the kernel does
			next := open(t, dir, n)
			same(t, n, dir)
			if e := next.Close(); e != nil {
				t.Error(e)
			}
			if !died {
				break
			}
		}
	}
}

func TestFileOfAnotherBootOrInterfaceIsNotFollowed(t *testing.T) {
	for name, change := range map[string]func(*Keeper){
		"boot":      func(k *Keeper) { k.record.Boot = "another" },
		"interface": func(k *Keeper) { k.record.Interface.Index = 8 },
		"hardware":  func(k *Keeper) { k.record.Interface.MAC = "02:00:00:00:00:02" },
	} {
		t.Run(name, func(t *testing.T) {
			n, dir := newFakeNIC(), t.TempDir()
			k := open(t, dir, n)
			change(k)
			if _, err := k.Steer(SteerRules, flows, 1); err != nil {
				t.Fatal(err)
			}
			k.release()
			open(t, dir, n).Close()
			if len(n.rules) != 2 {
				t.Error("rules of somebody else were deleted")
			}
			if _, err := os.Stat(filepath.Join(dir, FileName)); !os.IsNotExist(err) {
				t.Errorf("the file is still there: %v", err)
			}
		})
	}
}

func TestDamagedFileIsAnError(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, FileName), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(eth0, Options{Dir: dir, Driver: newFakeNIC().do}); err == nil || !strings.Contains(err.Error(), "ethtool -n") {
		t.Errorf("%v", err)
	}
}

func TestWhatCannotBeTakenBackStaysInTheFile(t *testing.T) {
	n, dir := newFakeNIC(), t.TempDir()
	n.noRules, n.noHash = true, true
	k := open(t, dir, n)
	if _, err := k.Steer(SteerAuto, flows, 0); err != nil {
		t.Fatal(err)
	}
	n.noChannels = true
	if err := k.Close(); err == nil || !strings.Contains(err.Error(), "channels of eth0") {
		t.Errorf("%v", err)
	}
	n.noChannels = false
	open(t, dir, n).Close()
	same(t, n, dir)
}

// sysfs makes the files of an interface.
func sysfs(t *testing.T, mac string) string {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "class/net/eth0")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"ifindex": "7\n", "address": mac + "\n", deferFile: "0\n", flushFile: "0\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func setting(t *testing.T, root, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, "class/net/eth0", name))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(b), "\n")
	return first
}

func TestBusyPollSettingsAreTakenBackAlsoAfterAKill(t *testing.T) {
	for _, killed := range []bool{false, true} {
		root, dir := sysfs(t, eth0.MAC), t.TempDir()
		o := Options{Dir: dir, Driver: newFakeNIC().do, Sysfs: root}
		k, err := Open(eth0, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.BusyPoll(); err != nil {
			t.Fatal(err)
		}
		if d, f := setting(t, root, deferFile), setting(t, root, flushFile); d != deferPolls || f != flushNs {
			t.Errorf("set to %s and %s", d, f)
		}
		if killed {
			k.release()
			if k, err = Open(eth0, o); err != nil {
				t.Fatal(err)
			}
		}
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		if d, f := setting(t, root, deferFile), setting(t, root, flushFile); d != "0" || f != "0" {
			t.Errorf("killed %v: left at %s and %s", killed, d, f)
		}
		same(t, newFakeNIC(), dir)
	}
}

func TestBusyPollDoesNotTouchAnInterfaceOfAnotherNamespace(t *testing.T) {
	root, dir := sysfs(t, "02:00:00:00:00:99"), t.TempDir()
	k, err := Open(eth0, Options{Dir: dir, Driver: newFakeNIC().do, Sysfs: root})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if err := k.BusyPoll(); !errors.Is(err, ErrBusyPoll) || !strings.Contains(err.Error(), "namespace") {
		t.Errorf("%v", err)
	}
	if setting(t, root, deferFile) != "0" {
		t.Error("changed")
	}
}

func TestSteeringNames(t *testing.T) {
	for s := SteerOff; s <= SteerChannels; s++ {
		if got, err := ParseSteering(s.String()); got != s || err != nil {
			t.Errorf("%v: %v, %v", s, got, err)
		}
	}
	if _, err := ParseSteering("magic"); err == nil {
		t.Error("parsed")
	}
}
