package tuning

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// settingTrees are where a kernel keeps what can be set.
var settingTrees = []string{"/proc/sys/kernel", "/proc/sys/vm", "/proc/sys/net", "/proc/irq", "/sys/kernel/mm",
	"/sys/devices/system/cpu", "/sys/devices/virtual/workqueue", "/sys/devices/system/clocksource", "/sys/module/pcie_aspm",
	"/sys/devices/system/machinecheck", "/sys/kernel/rcu_normal", "/sys/kernel/rcu_expedited"}

// hostSettings is every file of those trees that can be written and read, and every kernel thread's affinity.
func hostSettings() map[string]string {
	all := map[string]string{}
	for _, root := range settingTrees {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
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
	h := ThisHost()
	for _, path := range h.glob("proc/[0-9]*/comm") {
		name, err := h.read(path)
		if err != nil || !strings.HasPrefix(name, "rcu") || !h.kernelThread(path) {
			continue
		}
		thread := strings.Split(path, "/")[1] + " " + name
		if list, err := h.Get(KindAffinity, thread); err == nil {
			all[thread] = list
		}
	}
	return all
}

// drop takes out what changes by itself.
func drop(settings map[string]string, moving []string) map[string]string {
	maps.DeleteFunc(settings, func(path, _ string) bool { return slices.Contains(moving, path) })
	return settings
}

func differences(a, b map[string]string) (paths []string) {
	for path, text := range a {
		if now, there := b[path]; !there || now != text {
			paths = append(paths, path)
		}
	}
	for path := range b {
		if _, there := a[path]; !there {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// TestThisHostIsAsBeforeAfterRevert applies a profile to the machine that the test runs on, reads back what it wrote, and
// reverts: every setting of /proc and /sys is as it was.
func TestThisHostIsAsBeforeAfterRevert(t *testing.T) {
	if os.Getenv("LOCKSTEP_TUNE_HOST") == "" {
		t.Skip("changes settings of this machine: set LOCKSTEP_TUNE_HOST=1")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	h := ThisHost()
	cores, err := h.coreList(online)
	if err != nil {
		t.Fatal(err)
	}
	first := hostSettings()
	time.Sleep(200 * time.Millisecond)
	moving := differences(first, hostSettings())
	moving = append(moving, "/proc/sys/kernel/ns_last_pid")
	if len(moving) > 20 {
		t.Fatalf("too much of this machine changes by itself: %v", moving)
	}
	for _, target := range []Target{{Profile: Lab}, {Profile: Leader, Cores: cores[len(cores)-1:]}} {
		t.Run(target.Profile.String(), func(t *testing.T) { applyAndRevert(t, h, target, moving) })
	}
	t.Run("killed", func(t *testing.T) { killAndRevert(t, h, moving) })
}

// killAndRevert ends a process between two settings of this machine.
func killAndRevert(t *testing.T, h *Host, moving []string) {
	before := drop(hostSettings(), moving)
	for _, at := range []int{1, 3, 5, 8} {
		o := stateOf(t)
		t.Cleanup(func() { _, _ = Revert(h, o) })
		if !killed(t, h, o, "apply", at) {
			t.Logf("apply has fewer than %d steps here", at)
		}
		if changes, err := Revert(h, o); err != nil || slices.Contains(outcomes(changes), Failed) {
			t.Errorf("killed at step %d: %v, %v", at, changes, err)
		}
		after := drop(hostSettings(), moving)
		for _, path := range differences(before, after) {
			t.Errorf("killed at step %d: %s was %q, is %q", at, path, before[path], after[path])
		}
	}
}

func applyAndRevert(t *testing.T, h *Host, target Target, moving []string) {
	o := stateOf(t)
	before := drop(hostSettings(), moving)
	t.Cleanup(func() { _, _ = Revert(h, o) })
	changes, err := Apply(h, target, o)
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for _, c := range changes {
		if c.Outcome == Changed {
			changed++
		} else {
			t.Logf("%s", c) // a machine may refuse what another takes
			continue
		}
		if now, err := h.Get(c.Kind, c.Name); err != nil || now != c.To {
			t.Errorf("%s: reads back %q, %v", c, now, err)
		}
	}
	again, err := Apply(h, target, o)
	if err != nil || slices.Contains(outcomes(again), Changed) {
		t.Errorf("applied again: %v, %v", again, err)
	}
	score := Score(Check(h, target))
	reverted, err := Revert(h, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range reverted {
		if c.Outcome != Restored {
			t.Errorf("%s", c)
		}
	}
	after := drop(hostSettings(), moving)
	for _, path := range differences(before, after) {
		t.Errorf("%s was %q, is %q", path, before[path], after[path])
	}
	if now := Score(Check(h, target)); changed > 0 && now >= score {
		t.Errorf("score %d with the settings, %d without", score, now)
	}
	t.Logf("%d of %d settings changed, score %d with them; %d settings compared", changed, len(changes), score, len(after))
}
