package tuning

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree makes a file tree below a new root.
func tree(t *testing.T, files map[string]string) *Host {
	t.Helper()
	root := t.TempDir()
	for path, text := range files {
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return &Host{Root: root, Link: noLink, Device: func(dir string) (string, error) {
		if dir == "/mem" {
			return "", errors.New("/mem is not on a block device")
		}
		return "nvme0n1", nil
	}}
}

func noLink(name string) (Link, error) { return Link{}, errors.New(name + " does not exist") }

func TestEveryItemTellsGoodFromBad(t *testing.T) {
	const idle = "sys/devices/system/cpu/cpu0/cpuidle/state2/"
	cases := []struct {
		item  string
		files map[string]string
		want  State
	}{
		{"isolated cores", map[string]string{"sys/devices/system/cpu/isolated": "2-3,5\n"}, OK},
		{"isolated cores", map[string]string{"sys/devices/system/cpu/isolated": "4\n"}, Differs},
		{"isolated cores", map[string]string{"sys/devices/system/cpu/isolated": "\n"}, Differs},
		{"isolated cores", map[string]string{"sys/devices/system/cpu/isolated": "x-y"}, Unknown},
		{"isolated cores", nil, Unknown},
		{"frequency governor", map[string]string{"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance"}, OK},
		{"frequency governor", map[string]string{"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave"}, Differs},
		{"frequency governor", nil, Unsupported},
		{"deep idle states", map[string]string{idle + "latency": "2", idle + "disable": "0"}, OK},
		{"deep idle states", map[string]string{idle + "latency": "100", idle + "disable": "0", idle + "name": "C6"}, Differs},
		{"deep idle states", map[string]string{idle + "latency": "100", idle + "disable": "1"}, OK},
		{"deep idle states", map[string]string{idle + "latency": "soon"}, Unknown},
		{"deep idle states", nil, Unsupported},
		{"clock source", map[string]string{"sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc"}, OK},
		{"clock source", map[string]string{"sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet"}, Differs},
		{"clock source", nil, Unknown},
		{"transparent huge pages", map[string]string{"sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never"}, OK},
		{"transparent huge pages", map[string]string{"sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never"}, Differs},
		{"transparent huge pages", nil, Unsupported},
		{"swap", map[string]string{"proc/swaps": "Filename Type Size\n"}, OK},
		{"swap", map[string]string{"proc/swaps": "Filename Type Size\n/dev/sda2 partition 1\n"}, Differs},
		{"swap", nil, Unsupported},
		{"disk write cache", map[string]string{"sys/class/block/nvme0n1/queue/write_cache": "write through"}, OK},
		{"disk write cache", map[string]string{"sys/class/block/nvme0n1/queue/write_cache": "write back"}, Differs},
		{"disk write cache", nil, Unknown},
		{"hypervisor", map[string]string{"proc/cpuinfo": "flags\t: fpu tsc\n"}, OK},
		{"hypervisor", map[string]string{"proc/cpuinfo": "flags\t: fpu hypervisor tsc\n"}, Differs},
		{"hypervisor", nil, Unknown},
		{"interface", nil, Differs},
		{"locked memory", nil, Differs},
	}
	for _, c := range cases {
		h := tree(t, c.files)
		found := false
		for _, f := range Check(h, Target{Interface: "eth9", Dir: "/data", Cores: []int{2, 5}}) {
			if f.Item != c.item {
				continue
			}
			found = true
			if f.State != c.want {
				t.Errorf("%s with %v: %s (%s), want %s", c.item, c.files, f.State, f.Current, c.want)
			}
			if f.Why == "" || f.Wanted == "" || f.Fix == "" {
				t.Errorf("%s does not say why, what is wanted and how to mend it", c.item)
			}
		}
		if !found {
			t.Errorf("no finding for %s", c.item)
		}
	}
}

func TestInterfaceIsUpWithRoomAndZeroCopy(t *testing.T) {
	for _, c := range []struct {
		link Link
		want State
	}{
		{Link{Up: true, MTU: 1500, Driver: "ice"}, OK},
		{Link{Up: true, MTU: 1500, Driver: "e1000e"}, Differs},
		{Link{Up: true, MTU: 1400, Driver: "ice"}, Differs},
		{Link{MTU: 1500, Driver: "ice"}, Differs},
	} {
		h := &Host{Link: func(string) (Link, error) { return c.link, nil }}
		if state, current := lookInterface(h, Target{Interface: "eth9"}); state != c.want {
			t.Errorf("%+v: %s (%s), want %s", c.link, state, current, c.want)
		}
	}
}

func TestNothingGivenIsUnsupported(t *testing.T) {
	h := tree(t, nil)
	if state, _ := lookInterface(h, Target{}); state != Unsupported {
		t.Errorf("no interface: %s", state)
	}
	if state, _ := lookDisk(h, Target{Dir: "/mem"}); state != Unsupported {
		t.Errorf("tmpfs: %s", state)
	}
}

func TestThisHostHasAStateForEveryItem(t *testing.T) {
	findings := Check(ThisHost(), Target{Interface: "lo", Dir: t.TempDir()})
	if len(findings) != len(items) {
		t.Fatalf("%d findings for %d items", len(findings), len(items))
	}
	var out strings.Builder
	if err := Print(&out, findings); err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if f.Current == "" || !strings.Contains(out.String(), f.Item) {
			t.Errorf("%s: current %q; printed:\n%s", f.Item, f.Current, out.String())
		}
	}
}
