package counters

import (
	"math"
	"testing"
)

// TestBucketsCoverEveryDuration: each duration falls into the bucket whose bounds enclose it, and none is wider than an
// eighth of where it begins.
func TestBucketsCoverEveryDuration(t *testing.T) {
	for i := 1; i < numBuckets-1; i++ {
		from, end := bucketEnd(i-1), bucketEnd(i)
		if bucketOf(from) != i || bucketOf(end-1) != i {
			t.Fatalf("bucket %d is [%d, %d), but %d counts in %d and %d in %d",
				i, from, end, from, bucketOf(from), end-1, bucketOf(end-1))
		}
		if (end-from)*histogramParts > from {
			t.Fatalf("bucket %d, [%d, %d), is wider than an eighth", i, from, end)
		}
	}
	for v, want := range map[uint64]int{0: 0, 1<<histogramLow - 1: 0, 1 << histogramHigh: numBuckets - 1,
		math.MaxUint64: numBuckets - 1} {
		if got := bucketOf(v); got != want {
			t.Errorf("%d counts in bucket %d, want %d", v, got, want)
		}
	}
}

func TestQuantilesOfAHistogram(t *testing.T) {
	f := create(t, "", HistogramSlots)
	h := f.Histogram("lockstep_test_seconds", "How long it took.")
	if d := h.Snapshot(); d.Quantile(0.5) != 0 {
		t.Errorf("an empty histogram has the median %d", d.Quantile(0.5))
	}
	for us := int64(1); us <= 1000; us++ {
		h.Observe(us * 10_000) // 10 us to 10 ms
	}
	h.Observe(60e9)
	d := h.Snapshot()
	if d.Count != 1001 || d.MaxNs != 60e9 || d.SumNs != 1000*1001/2*10_000+60e9 {
		t.Errorf("%d durations, longest %d, sum %d", d.Count, d.MaxNs, d.SumNs)
	}
	for q, want := range map[float64]float64{0.01: 100e3, 0.5: 5e6, 0.9: 9e6, 0.99: 9.9e6, 1: 60e9} {
		if got := float64(d.Quantile(q)); got < want*0.99 || got > want*1.13 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	below := d.Cumulative()
	if got := below[float64(1<<23)/1e9]; got != 838 { // 8.388 ms
		t.Errorf("%d below 2^23 ns, want 838", got)
	}
	if got := below[float64(1<<histogramHigh)/1e9]; got != 1000 {
		t.Errorf("%d below the longest bound, want all but one", got)
	}
	seen := 0
	f.Histograms(func(got Distribution) { seen += int(got.Count) })
	if seen != 1001 || f.Histogram("lockstep_test_seconds", "") != h {
		t.Errorf("the file knows of %d durations, want 1001, in one histogram", seen)
	}
	f.Each(func(name, _ string, _ uint64) {
		if of, ok := HistogramOf(name); !ok || of != "lockstep_test_seconds" {
			t.Errorf("%s is taken for a part of %q", name, of)
		}
	})
}

// TestManyAtOnceCountAsOneByOne: what a batch has in common is counted as if each had been.
func TestManyAtOnceCountAsOneByOne(t *testing.T) {
	f := create(t, "", 2*HistogramSlots)
	many, each := f.Histogram("lockstep_many_seconds", ""), f.Histogram("lockstep_each_seconds", "")
	for _, ns := range []int64{-5, 0, 127, 128, 300, 5_000, 7e9} {
		many.ObserveMany(ns, 20)
		for range 20 {
			each.Observe(ns)
		}
	}
	a, b := many.Snapshot(), each.Snapshot()
	a.Name, b.Name = "", ""
	if a != b {
		t.Errorf("many at once %+v, one by one %+v", a, b)
	}
}

func TestObservingDoesNotAllocate(t *testing.T) {
	h := create(t, "", HistogramSlots).Histogram("lockstep_test_seconds", "")
	v := int64(1)
	if n := testing.AllocsPerRun(100, func() { h.Observe(v); v = v * 3 % 1_000_003 }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
