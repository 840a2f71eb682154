package tuning

import (
	"os"
	"slices"
	"testing"
)

// TestThisHostDiskQueue sets the queue of a real block device that nobody uses, a loop device without a file, and puts it
// back.
func TestThisHostDiskQueue(t *testing.T) {
	if os.Getenv("LOCKSTEP_TUNE_HOST") == "" {
		t.Skip("changes settings of this machine: set LOCKSTEP_TUNE_HOST=1")
	}
	h := ThisHost()
	device := ""
	for _, path := range h.glob("sys/block/loop*") {
		if size, err := h.readInt(path + "/size"); err == nil && size == 0 {
			device = path[len("sys/block/"):]
		}
	}
	if device == "" || h.mayWrite(KindFile, "sys/block/"+device+"/queue/nomerges") != nil {
		t.Skipf("SKIP %s: no unused loop device whose queue can be written", t.Name())
	}
	h.Device = func(string) (string, error) { return device, nil }
	items := []string{"disk scheduler", "merging of requests", "disk completion", "writeback throttling", "disk statistics"}
	target := Target{Profile: Leader, Dir: "/data"}
	read := func() (values []string) {
		for _, file := range []string{"scheduler", "nomerges", "rq_affinity", "wbt_lat_usec", "iostats"} {
			v, err := h.read("sys/block/" + device + "/queue/" + file)
			if err != nil {
				v = err.Error()
			}
			values = append(values, v)
		}
		return values
	}
	o := stateOf(t)
	o.Only = items
	before := read()
	t.Cleanup(func() { _, _ = Revert(h, o) })
	changes, err := Apply(h, target, o)
	if err != nil || len(changes) == 0 {
		t.Fatalf("%v, %v", changes, err)
	}
	for _, item := range items {
		if f := findingOf(t, h, target, item); f.State.Wrong() {
			t.Errorf("%s is %s (%s)", item, f.State, f.Current)
		}
	}
	if _, err := Revert(h, o); err != nil {
		t.Fatal(err)
	}
	if after := read(); !slices.Equal(before, after) {
		t.Errorf("%s was %v, is %v", device, before, after)
	}
	t.Logf("%s: %v", device, changes)
}
