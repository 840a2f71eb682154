package agent

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSystemClock(t *testing.T) {
	var c System
	before := c.NowNs()
	if c.NowNs() < before {
		t.Error("monotonic time went back")
	}
	if off := time.Since(time.Unix(0, c.WallNs())); off < -time.Minute || off > time.Minute {
		t.Errorf("the wall clock is off by %v", off)
	}
}

func TestVirtualClockMovesOnlyWhenTold(t *testing.T) {
	c := NewVirtual(100, 5000)
	c.Advance(7)
	if c.NowNs() != 107 || c.WallNs() != 5007 {
		t.Errorf("after 7 ns: %d, %d", c.NowNs(), c.WallNs())
	}
	c.SetWall(3)
	if c.NowNs() != 107 || c.WallNs() != 3 {
		t.Errorf("after a step of the wall clock: %d, %d", c.NowNs(), c.WallNs())
	}
	defer func() {
		if recover() == nil {
			t.Error("the monotonic clock went back")
		}
	}()
	c.Advance(-1)
}

func TestIdleKindsAreReadAsWritten(t *testing.T) {
	for _, k := range []IdleKind{IdleSpin, IdleYield, IdlePark} {
		if got, err := ParseIdleKind(k.String()); got != k || err != nil {
			t.Errorf("%s is read as %s, %v", k, got, err)
		}
	}
	if _, err := ParseIdleKind("sleep"); err == nil || !strings.Contains(err.Error(), `"sleep"`) {
		t.Errorf("sleep: %v", err)
	}
	parker := newParker(t)
	for kind, parks := range map[IdleKind]bool{IdleSpin: false, IdleYield: false, IdlePark: true} {
		if idle, err := NewIdle(kind, parker, 1000); err != nil || idle == nil {
			t.Errorf("%s: %v", kind, err)
		}
		if _, err := NewIdle(kind, nil, 0); (err != nil) != parks {
			t.Errorf("%s without a parker: %v", kind, err)
		}
	}
	if _, err := NewIdle(9, nil, 0); err == nil {
		t.Error("there is an idle strategy 9")
	}
}

func TestParseCores(t *testing.T) {
	for list, want := range map[string][]int{
		"": nil, "3": {3}, "1,4-7": {1, 4, 5, 6, 7}, "4-5,0": {0, 4, 5}, "2,2-3": {2, 3},
	} {
		if got, err := ParseCores(list); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v, want %v", list, got, err, want)
		}
	}
	for _, list := range []string{"x", "1-", "-1", "3-1", "1,,2", "1 2", "99999"} {
		if got, err := ParseCores(list); err == nil {
			t.Errorf("%q is read as %v", list, got)
		}
	}
	if _, err := Isolated(); err != nil {
		t.Errorf("this machine's: %v", err)
	}
}

func TestChooseIdleSpinsOnIsolatedCoresOnly(t *testing.T) {
	for _, c := range []struct {
		cores, isolated []int
		err             error
		kind            IdleKind
		reason          string
	}{
		{[]int{2, 3}, []int{2, 3, 4}, nil, IdleSpin, "every hot core is isolated"},
		{[]int{2, 5}, []int{2, 3, 4}, nil, IdleYield, "core 5 is not isolated"},
		{nil, []int{2, 3}, nil, IdleYield, "no cores of their own"},
		{[]int{2}, nil, errors.New("no sysfs"), IdleYield, "no sysfs"},
	} {
		kind, reason := chooseIdle(c.cores, c.isolated, c.err)
		if kind != c.kind || !strings.Contains(reason, c.reason) {
			t.Errorf("cores %v, isolated %v: %s because %s", c.cores, c.isolated, kind, reason)
		}
	}
}
