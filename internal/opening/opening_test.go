package opening

import "testing"

func TestOpeningsStartWhereTheySay(t *testing.T) {
	o, err := New(Plan{Dir: t.TempDir(), Records: 3000, Behind: []int{800, 200}, Rounds: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	}()
	var sizes []Resident
	if err := o.Grow(func(r Resident) { sizes = append(sizes, r) }); err != nil {
		t.Fatal(err)
	}
	if len(sizes) != 10 || sizes[9].Records != 3000 || sizes[0].Bytes == 0 || sizes[9].LogBytes <= sizes[0].LogBytes {
		t.Errorf("sizes on the way: %+v", sizes)
	}
	for _, want := range []struct {
		behind       int
		fromSnapshot bool
	}{{200, true}, {800, true}, {3000, false}} {
		row, err := o.Measure("test")
		if err != nil {
			t.Fatal(err)
		}
		if row.Behind != want.behind || (row.SnapshotBytes > 0) != want.fromSnapshot {
			t.Errorf("%d behind, snapshot of %d bytes; want %d, from a snapshot: %v",
				row.Behind, row.SnapshotBytes, want.behind, want.fromSnapshot)
		}
		if row.OpenMs <= 0 || row.ReadyMs < row.OpenMs {
			t.Errorf("opened in %v ms, ready in %v", row.OpenMs, row.ReadyMs)
		}
	}
}

func TestPlanIsChecked(t *testing.T) {
	for name, p := range map[string]Plan{
		"too few":      {Records: 1, Behind: []int{0}, Rounds: 1},
		"no snapshot":  {Records: 100, Rounds: 1},
		"three":        {Records: 100, Behind: []int{1, 2, 3}, Rounds: 1},
		"the same":     {Records: 100, Behind: []int{5, 5}, Rounds: 1},
		"all of it":    {Records: 100, Behind: []int{100}, Rounds: 1},
		"no round":     {Records: 100, Behind: []int{5}},
		"a minus sign": {Records: 100, Behind: []int{-1}, Rounds: 1},
	} {
		if p.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
