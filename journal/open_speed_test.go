package journal

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// openRecords is how many records the log of BenchmarkOpen has.
const openRecords = "LOCKSTEP_OPEN_RECORDS"

// BenchmarkOpen opens a log on the disk, whole and from snapshots that fewer and fewer records follow. LOCKSTEP_OPEN_RECORDS
// says how many there are. What a journal holds afterwards is in the metric held-bytes; resident-bytes is the process.
func BenchmarkOpen(b *testing.B) {
	records := 200_000
	if text := os.Getenv(openRecords); text != "" {
		var err error
		if records, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	fs := &vfs.Below{Root: b.TempDir()}
	follow := []int{records, records / 10, records / 100, 0}
	bases := builtLong(b, fs, records, follow)
	for i, n := range follow {
		b.Run(fmt.Sprintf("records=%d/behind=%d", records, n), func(b *testing.B) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for b.Loop() {
				o := testOptions(fs)
				o.Base = bases[i]
				j, rec, err := Open(o)
				if err != nil || rec.Outcome != OutcomeIntact || rec.Records != uint64(n) {
					b.Fatal(rec, err)
				}
				b.StopTimer()
				runtime.GC()
				runtime.ReadMemStats(&after)
				if err := j.Close(); err != nil {
					b.Fatal(err)
				}
				runtime.KeepAlive(rec)
				b.StartTimer()
			}
			b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)), "held-bytes")
			b.ReportMetric(float64(resident(b)), "resident-bytes")
		})
	}
}

// builtLong writes a long log without keeping any of it, and returns what snapshots say that so many records follow; nil
// where all do.
func builtLong(b *testing.B, fs vfs.FS, records int, follow []int) []*Base {
	b.Helper()
	if err := fs.MkdirAll(segmentDir(testDir)); err != nil {
		b.Fatal(err)
	}
	builder, err := NewBuilder(BuilderOptions{FS: fs, Dir: testDir, Cluster: testCluster}, wire.Chain{})
	if err != nil {
		b.Fatal(err)
	}
	var chain wire.Chain
	bases := make([]*Base, len(follow))
	buf, payload := make([]byte, 256), make([]byte, 64)
	for i := range records {
		r := wire.Record{Kind: wire.RecordMessage, Term: 1, Timestamp: chain.Timestamp + 10, Session: 5, Service: 1}
		n := chain.Append(buf, &r, payload)
		if err := builder.Append(buf[:n], chain); err != nil {
			b.Fatal(err)
		}
		for k, f := range follow {
			if f == records-1-i {
				bases[k] = &Base{Chain: chain}
			}
		}
	}
	if err := errors.Join(builder.Sync(), builder.Close(), FinishDirectory(fs, testDir, testIdentity, chain)); err != nil {
		b.Fatal(err)
	}
	return bases
}

// resident is how much memory this process occupies.
func resident(b *testing.B) int {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		b.Fatal(err)
	}
	return pages * os.Getpagesize()
}
