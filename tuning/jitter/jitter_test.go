package jitter

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// script is a clock that moves by step at every reading, and by more where it is told to.
type script struct {
	nowNs, stepNs int64
	readings      int
	more          map[int]int64 // by reading, from 0
}

func (s *script) now() int64 {
	s.nowNs += s.stepNs + s.more[s.readings]
	s.readings++
	return s.nowNs
}

func recording() *atomic.Bool {
	b := &atomic.Bool{}
	b.Store(true)
	return b
}

func TestMeterCountsWhatIsLongerThanTheThresholdAndNothingElse(t *testing.T) {
	clock := &script{nowNs: 1000, stepNs: 100, more: map[int]int64{50: 4_900, 60: 900, 61: 900_000, 70: 100}}
	m := newMeter(0, 1000, clock.now, recording())
	if _, err := m.DoWork(0); err != nil {
		t.Fatal(err)
	}
	// Reading 60 is 1000 ns after the one before, which is no longer than the threshold. Of 50 it is 5000; noting it costs a
	// reading, so that 61 is the next but one after 60.
	if n := m.pauses.TotalCount(); n != 2 {
		t.Fatalf("%d pauses, want 2", n)
	}
	if m.pauseNs != 5_000+900_100 {
		t.Errorf("pauses of %d ns in all, want %d", m.pauseNs, 5_000+900_100)
	}
	if got := m.pauses.Min(); got < 4_990 || got > 5_010 {
		t.Errorf("the shortest is %d ns, want 5000 within a thousandth", got)
	}
	if got := m.pauses.Max(); got < 900_100 || got > 901_100 {
		t.Errorf("the longest is %d ns, want 900100 within a thousandth", got)
	}
	if unseen := m.lastNs - m.firstNs - m.seenNs; unseen != 2*100 {
		t.Errorf("%d ns of the slice were not seen, want those of two notes", unseen)
	}
}

func TestMeterWaitsUntilPausesCount(t *testing.T) {
	clock := &script{stepNs: 100}
	m := newMeter(0, 1000, clock.now, &atomic.Bool{})
	if work, err := m.DoWork(0); work != 0 || err != nil || clock.readings != 0 {
		t.Errorf("%d work, %d readings (%v), want none", work, clock.readings, err)
	}
}

func TestThresholdIsFoundByLooking(t *testing.T) {
	for _, c := range []struct {
		stepNs, want int64
	}{{10, 200}, {0, 200}, {100, 800}} {
		m := newMeter(0, 0, (&script{stepNs: c.stepNs, more: map[int]int64{7: 5000}}).now, recording())
		if err := m.OnStart(0); err != nil {
			t.Fatal(err)
		}
		if c.stepNs == 0 {
			c.want = 8 * 5000 // the only two readings that differ
		}
		if m.thresholdNs != c.want {
			t.Errorf("readings %d ns apart: threshold %d ns, want %d", c.stepNs, m.thresholdNs, c.want)
		}
	}
}

func TestSharesOfTimeAndHistogram(t *testing.T) {
	clock := &script{nowNs: 1, stepNs: 100, more: map[int]int64{}}
	for i := 1; i < 200; i += 2 { // a note takes a reading
		clock.more[i] = 4_900
	}
	m := newMeter(3, 1000, clock.now, recording())
	_, _ = m.DoWork(0)
	c := m.seen(10 * time.Millisecond)
	if c.Core != 3 || c.Count != 100 || c.PerSec != 10_000 || c.P50Us < 4.99 || c.P50Us > 5.01 || c.MeanUs != 5 {
		t.Errorf("%+v", c)
	}
	if want := 100 * 500_000.0 / float64(m.seenNs); c.PausedPct < want-0.01 || c.PausedPct > want+0.01 {
		t.Errorf("paused for %.3f %%, want %.3f", c.PausedPct, want)
	}
	if n := len(c.Histogram); n != 4 || c.Histogram[3] != (Bar{FromUs: 4, ToUs: 8, Count: 100}) || c.Histogram[0].FromUs != 0 {
		t.Errorf("histogram %+v", c.Histogram)
	}
}

// tree makes files below a new root.
func tree(t *testing.T, files map[string]string) string {
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
	return root
}

func registers(smi uint64) string {
	b := make([]byte, smiRegister+8)
	binary.LittleEndian.PutUint64(b[smiRegister:], smi)
	return string(b)
}

func TestCausesAreWhatWasCountedBetween(t *testing.T) {
	files := func(timer, disk, switches, waited, steal, hot string, smi uint64) map[string]string {
		return map[string]string{
			"proc/interrupts": "           CPU0       CPU2\n" +
				"  36:         99         " + disk + "   PCI-MSIX-0000:00:02.0   1-edge      nvme0q1\n" +
				" LOC:         99         " + timer + "   Local timer interrupts\n" +
				" ERR:          3\n",
			"proc/softirqs": "  CPU0 CPU2\n  TIMER: 1 7\n",
			"proc/stat":     "cpu  0 0 0 0 0 0 0 99 0 0\ncpu0 0 0 0 0 0 0 0 50 0 0\ncpu2 0 0 0 0 0 0 0 " + steal + " 0 0\nctxt 5\n",
			"proc/self/task/77/status": "Name:\tjitter 2\nvoluntary_ctxt_switches:\t9\nnonvoluntary_ctxt_switches:\t" + switches +
				"\n",
			"proc/self/task/77/schedstat":                                      "1000 " + waited + " 12\n",
			"sys/devices/system/cpu/cpu2/thermal_throttle/core_throttle_count": hot + "\n",
			"dev/cpu/2/msr": registers(smi),
		}
	}
	cores, threads := []int{2}, []int{77}
	before := reader{tree(t, files("1000", "5", "10", "100", "7", "0", 3))}.read(cores, threads)
	after := reader{tree(t, files("1500", "9", "12", "600", "9", "1", 5))}.read(cores, threads)
	causes := after[0].since(&before[0], 2)
	want := []Cause{
		{KindInterrupt, "LOC (Local timer interrupts)", 500, 250},
		{KindInterrupt, "36 nvme0q1", 4, 2},
		{KindSMI, "system management interrupt", 2, 1},
		{KindSwitch, "core taken by another thread", 2, 1},
		{KindThrottle, "core too hot", 1, 0.5},
	}
	if !slices.Equal(causes, want) {
		t.Errorf("causes\n%+v, want\n%+v", causes, want)
	}
	if n := after[0].stealNs - before[0].stealNs; n != 20_000_000 {
		t.Errorf("steal %d ns, want two ticks", n)
	}
	if n := after[0].waitedNs - before[0].waitedNs; n != 500 {
		t.Errorf("waited %d ns, want 500", n)
	}
	if len(after[0].unread) != 1 || !strings.Contains(after[0].unread[0], "package_throttle_count") {
		t.Errorf("not read: %q, want the package's count of throttling", after[0].unread)
	}
}

func TestWhatCannotBeReadIsNamed(t *testing.T) {
	all := reader{t.TempDir()}.read([]int{0, 1}, []int{5, 6})
	for _, c := range all {
		text := strings.Join(c.unread, "\n")
		for _, path := range []string{"/proc/interrupts", "/proc/softirqs", "/proc/stat", "/status", "/thermal_throttle", "/msr"} {
			if !strings.Contains(text, path) {
				t.Errorf("%s is not named in\n%s", path, text)
			}
		}
		if len(c.since(&counted{}, 1)) != 0 {
			t.Errorf("causes of nothing: %+v", c)
		}
	}
	var out bytes.Buffer
	r := Report{Cores: []Core{{Core: 0, Unread: all[0].unread}, {Core: 1, Unread: all[1].unread}}}
	r.printUnread(&out)
	for _, path := range []string{"/dev/cpu/N/msr (", "/proc/self/task/N/status (", "/cpu/cpuN/thermal_throttle/core"} {
		if strings.Count(out.String(), path) != 1 {
			t.Errorf("%s is not named once in\n%s", path, out.String())
		}
	}
}

func TestAnotherThreadOnTheCoreIsFound(t *testing.T) {
	cores, err := Allowed()
	if err != nil {
		t.Fatal(err)
	}
	core := cores[len(cores)-1]
	var stop atomic.Bool
	defer stop.Store(true)
	go func() {
		runtime.LockOSThread() // it ends with the thread
		var set unix.CPUSet
		set.Set(core)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			t.Error(err)
			return
		}
		for !stop.Load() {
		}
	}()
	report, err := Measure(t.Context(), Options{Cores: []int{core}, Measure: 400 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	c := report.Cores[0]
	taken := slices.ContainsFunc(c.Causes, func(x Cause) bool { return x.Kind == KindSwitch && strings.Contains(x.Name, "another") })
	if !taken || c.Count == 0 || c.PausedPct < 5 || c.MaxUs < 500 {
		t.Errorf("a core that two threads want: %+v", c)
	}
	if _, err := os.Stat("/proc/self/schedstat"); err == nil && c.WaitedPct < 5 {
		t.Errorf("the thread waited for %.3f %% of the time", c.WaitedPct)
	}
	var out bytes.Buffer
	if err := report.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"p99.99", "core taken by another thread", "pauses by length", "#"} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("%q is not in\n%s", text, out.String())
		}
	}
	if b, err := json.Marshal(report); err != nil || !bytes.Contains(b, []byte(`"causes":[{"kind"`)) {
		t.Errorf("%s (%v)", b, err)
	}
}

// A meter holds its core, and the Go scheduler off, but garbage collection comes through, and everything is as it was in
// the end.
func TestMetersLetTheRuntimeIn(t *testing.T) {
	allowed, _ := Allowed()
	processors := runtime.GOMAXPROCS(0)
	collected := make(chan int)
	var stop atomic.Bool
	go func() {
		n := 0
		for ; !stop.Load(); n++ {
			runtime.GC()
		}
		collected <- n
	}()
	report, err := Measure(t.Context(), Options{Measure: 300 * time.Millisecond})
	stop.Store(true)
	if n := <-collected; err != nil || n == 0 {
		t.Fatalf("%d collections (%v)", n, err)
	}
	if len(report.Cores) != len(allowed) {
		t.Errorf("%d cores, want all %d", len(report.Cores), len(allowed))
	}
	for _, c := range report.Cores {
		if c.SeenPct <= 0 || c.SeenPct > 100 || c.PausedPct < 0 || c.PausedPct > 100 {
			t.Errorf("core %d: seen %.3f %%, paused %.3f %%", c.Core, c.SeenPct, c.PausedPct)
		}
	}
	if after, _ := Allowed(); !slices.Equal(after, allowed) || runtime.GOMAXPROCS(0) != processors {
		t.Errorf("cores %v and %d processors afterwards, want %v and %d", after, runtime.GOMAXPROCS(0), allowed, processors)
	}
}

func TestOptionsThatCannotBeAreRefused(t *testing.T) {
	for what, o := range map[string]Options{
		"no time":            {},
		"a negative limit":   {Measure: time.Second, ThresholdNs: -1},
		"a limit of minutes": {Measure: time.Second, ThresholdNs: int64(2 * time.Minute)},
		"a core of nobody's": {Measure: time.Second, Cores: []int{1 << 20}},
		"a negative core":    {Measure: time.Second, Cores: []int{-1}},
		"a core twice":       {Measure: time.Second, Cores: []int{0, 0}},
	} {
		if err := o.Check(); err == nil || !strings.HasPrefix(err.Error(), "jitter: ") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
