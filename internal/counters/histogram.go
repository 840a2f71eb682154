package counters

import (
	"math/bits"
	"strconv"
	"strings"
)

// Buckets of a histogram are log-linear: every power of two of nanoseconds, from 2^histogramLow on, is cut into
// histogramParts equal parts, so a value is known within 12.5 per cent. What is shorter goes into the first bucket, what
// is longer than 2^histogramHigh into the last.
const (
	histogramLow   = 7  // 128 ns
	histogramHigh  = 35 // 34 s
	histogramParts = 8
	partBits       = 3

	numBuckets = 1 + (histogramHigh-histogramLow)*histogramParts + 1
	// HistogramSlots is how many counters a histogram takes: its buckets, the sum, and the longest.
	HistogramSlots = numBuckets + 2
)

// Histogram counts durations in fixed buckets, each a counter of the file: observing is three stores, without a lock or
// an allocation. One thread observes; any thread and any process reads.
type Histogram struct {
	name, help string
	buckets    [numBuckets]*Counter
	sum        *Counter // nanoseconds
	longest    *Counter // nanoseconds
}

// Histogram returns the histogram of that name, which ends in _seconds, and registers it if it is new. At start.
func (f *File) Histogram(name, help string) *Histogram {
	h := &Histogram{name: name, help: help}
	for i := range h.buckets {
		h.buckets[i] = f.Counter(name+"_bucket{le_ns=\""+strconv.FormatUint(bucketEnd(i), 10)+"\"}", help)
	}
	h.sum = f.Counter(name+"_sum_ns", help)
	h.longest = f.Counter(name+"_max_ns", help)
	f.mutex.Lock()
	defer f.mutex.Unlock()
	for _, known := range f.histograms {
		if known.name == name {
			return known
		}
	}
	f.histograms = append(f.histograms, h)
	return h
}

// HistogramOf returns the histogram that a counter, named as Each does it, is a part of.
func HistogramOf(name string) (histogram string, ok bool) {
	base, _, _ := strings.Cut(name, "{")
	for _, part := range []string{"_bucket", "_sum_ns", "_max_ns"} {
		if histogram, ok = strings.CutSuffix(base, part); ok && strings.HasSuffix(histogram, "_seconds") {
			return histogram, true
		}
	}
	return "", false
}

// Observe counts a duration. The one thread that observes.
func (h *Histogram) Observe(ns int64) { h.ObserveMany(ns, 1) }

// ObserveMany counts a duration that n things had in common, at the cost of one.
func (h *Histogram) ObserveMany(ns int64, n uint64) {
	v := uint64(max(0, ns))
	h.buckets[bucketOf(v)].Add(n)
	h.sum.Add(v * n)
	if v > h.longest.Load() {
		h.longest.Set(v)
	}
}

// bucketOf is the bucket that counts v nanoseconds.
func bucketOf(v uint64) int {
	if v < 1<<histogramLow {
		return 0
	}
	octave := bits.Len64(v) - 1
	if octave >= histogramHigh {
		return numBuckets - 1
	}
	part := int(v>>(octave-partBits)) & (histogramParts - 1)
	return 1 + (octave-histogramLow)*histogramParts + part
}

// bucketEnd is the first value, in nanoseconds, that is too long for a bucket; 0 for the last, which has no end.
func bucketEnd(i int) uint64 {
	switch {
	case i == 0:
		return 1 << histogramLow
	case i == numBuckets-1:
		return 0
	}
	octave, part := (i-1)/histogramParts+histogramLow, (i-1)%histogramParts
	return 1<<octave + uint64(part+1)<<(octave-partBits)
}

// Distribution is what a histogram held at one instant.
type Distribution struct {
	Name, Help string
	Count      uint64
	SumNs      uint64
	MaxNs      uint64
	buckets    [numBuckets]uint64
}

// Snapshot reads a histogram. Any thread.
func (h *Histogram) Snapshot() Distribution {
	d := Distribution{Name: h.name, Help: h.help, SumNs: h.sum.Load(), MaxNs: h.longest.Load()}
	for i, c := range h.buckets {
		d.buckets[i] = c.Load()
		d.Count += d.buckets[i]
	}
	return d
}

// Quantile returns a duration, in nanoseconds, that the share q (0 to 1) of all is not above; 12.5 per cent too long at
// most. 0 when there are none.
func (d *Distribution) Quantile(q float64) uint64 {
	if d.Count == 0 {
		return 0
	}
	rank, seen := uint64(q*float64(d.Count)+0.5), uint64(0)
	for i, n := range d.buckets {
		if seen += n; n > 0 && seen >= rank {
			if end := bucketEnd(i); end != 0 {
				return min(end, d.MaxNs)
			}
			return d.MaxNs
		}
	}
	return d.MaxNs
}

// Cumulative returns how many durations were below each power of two, by its length in seconds, as Prometheus wants it.
func (d *Distribution) Cumulative() map[float64]uint64 {
	below := make(map[float64]uint64)
	total := uint64(0)
	for i, n := range d.buckets {
		total += n
		if end := bucketEnd(i); end != 0 && end&(end-1) == 0 {
			below[float64(end)/1e9] = total
		}
	}
	return below
}

// Histograms calls f for every histogram of this process, in the order of their registration.
func (f *File) Histograms(visit func(d Distribution)) {
	f.mutex.Lock()
	list := f.histograms
	f.mutex.Unlock()
	for _, h := range list {
		visit(h.Snapshot())
	}
}
