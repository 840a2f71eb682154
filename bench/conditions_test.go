package bench

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fit is a row of a host that nothing is wrong with.
func fit() Row {
	return Row{Transport: "xdp", Mode: "native", Nodes: 3, Conditions: Conditions{Isolated: "2-5", ClockSource: "tsc", Hypervisor: "none",
		NICDriver: "mlx5_core", NICMode: "xdp native", WriteCache: "write through", TuningScore: 95}}
}

func TestRowsOfUnfitHostsSayWhy(t *testing.T) {
	for reason, damage := range map[string]func(*Row){
		"":              func(*Row) {},
		UnfitHypervisor: func(r *Row) { r.Hypervisor = "KVM" },
		UnfitIsolated:   func(r *Row) { r.Isolated = "none" },
		UnfitClock:      func(r *Row) { r.ClockSource = "hpet" },
		UnfitNIC:        func(r *Row) { r.Nodes, r.NICDriver = 1, "veth" },
		UnfitMode:       func(r *Row) { r.Transport = "udp"; r.SetNIC("ice") },
		UnfitSteal:      func(r *Row) { r.StealPct = 0.3 },
		UnfitJitter:     func(r *Row) { r.JitterP99Us = 400 },
		UnfitTuning:     func(r *Row) { r.TuningScore = 40 },
		UnfitUnknown:    func(r *Row) { r.TuningScore = NoScore },
	} {
		r := fit()
		damage(&r)
		want := []string{reason}
		if reason == "" {
			want = []string{}
		}
		if r.Judge(); !slices.Equal(r.Unfit, want) {
			t.Errorf("%v, want %v", r.Unfit, want)
		}
	}
	lab := fit()
	lab.NICDriver, lab.Unfit = "veth", []string{"of another time"}
	var out bytes.Buffer
	if err := lab.Write(&out); err != nil {
		t.Fatal(err)
	}
	var read Row
	if err := json.Unmarshal(out.Bytes(), &read); err != nil || !slices.Equal(read.Unfit, []string{UnfitNIC, UnfitShared}) {
		t.Errorf("a lab's row says %v, %v", read.Unfit, err)
	}
}

// tree makes files below a directory of the test's own.
func tree(t *testing.T, files map[string]string) string {
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestConditionsAreWhatTheKernelSays(t *testing.T) {
	const isolated, clock = "sys/devices/system/cpu/isolated", "sys/devices/system/clocksource/clocksource0/current_clocksource"
	for name, c := range map[string]struct {
		files                       map[string]string
		isolated, clock, hypervisor string
	}{
		"nothing there": {nil, Unknown, Unknown, Unknown},
		"real machine": {map[string]string{isolated: "2-3\n", clock: "tsc\n", "proc/cpuinfo": "flags : fpu tsc\n"},
			"2-3", "tsc", "none"},
		"virtual machine": {map[string]string{isolated: "\n", clock: "kvm-clock\n", "proc/cpuinfo": "flags\t: fpu hypervisor\n",
			"sys/class/dmi/id/sys_vendor": "QEMU\n"}, "none", "kvm-clock", "QEMU"},
		"nameless one": {map[string]string{isolated: "x\n", "proc/cpuinfo": "flags\t: hypervisor\n"}, Unknown, Unknown, "unnamed"},
	} {
		got := readConditions(tree(t, c.files))
		if got.Isolated != c.isolated || got.ClockSource != c.clock || got.Hypervisor != c.hypervisor {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if real := ThisConditions(); real.Isolated == Unknown || real.ClockSource == Unknown || real.Hypervisor == Unknown {
		t.Errorf("this host: %+v", real)
	}
}

func TestDriversAreNamed(t *testing.T) {
	root := tree(t, map[string]string{"sys/class/net/eth0/speed": "25000\n", "sys/class/net/br0/uevent": "DEVTYPE=bridge\nINTERFACE=br0\n",
		"sys/class/net/lo/uevent": "INTERFACE=lo\n", "sys/class/net/lo/iflink": "1", "sys/class/net/lo/ifindex": "1",
		"sys/class/net/v0/iflink": "9", "sys/class/net/v0/ifindex": "8"})
	device := filepath.Join(root, "sys/class/net/eth0/device")
	if err := os.MkdirAll(device, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../bus/pci/drivers/ice", filepath.Join(device, "driver")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"eth0": "ice, 25000 Mbit/s", "br0": "bridge", "lo": "loopback", "v0": "veth", "none": Unknown,
		"": Unknown} {
		if got := nicDriver(root, name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

func TestHistogramsGoThroughText(t *testing.T) {
	h := NewHistogram()
	for us := int64(1); us < 5000; us++ {
		_ = h.RecordValue(us * 1000)
	}
	got, err := DecodeHistogram(EncodeHistogram(h))
	if err != nil || !got.Equals(h) {
		t.Errorf("it is not what it was: %v", err)
	}
	if text := EncodeHistogram(NewHistogram()); text != "" {
		t.Errorf("one without values is %q", text)
	}
	if got, err := DecodeHistogram(""); got != nil || err != nil {
		t.Errorf("nothing is %v, %v", got, err)
	}
	for _, bad := range []string{"x", "AAAA", strings.Repeat("A", maxHistogramText+1)} {
		if _, err := DecodeHistogram(bad); err == nil {
			t.Errorf("%.10q is accepted", bad)
		}
	}
}

func TestMedianHasTheTimesOfAllRounds(t *testing.T) {
	var rows []Row
	for round := range int64(3) {
		h := NewHistogram()
		_ = h.RecordValues((round+1)*1000, 10)
		r := Row{Scenario: "rtt", Timeline: []TimelinePoint{{Count: 10}}}
		r.SetTimes(h)
		rows = append(rows, r)
	}
	m := Median(rows)
	h, err := DecodeHistogram(m.Hist)
	if err != nil || h.TotalCount() != 30 || m.Timeline != nil {
		t.Errorf("%v with %v, timeline %v", err, h, m.Timeline)
	}
	rows[1].Hist = ""
	if m := Median(rows); m.Hist != "" {
		t.Error("a round has no histogram, and the median has one")
	}
}
