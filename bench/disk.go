package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"lockstep/agent"
	"lockstep/internal/vfs"
	"lockstep/journal"
)

// The floors of the disk: the journal's own writes, with its flags and sizes, without a journal. Each round makes a file
// of its own, writes it full of zeros, and syncs it, as the journal prepares its segments.

// floorFile makes a file with written blocks and opens it as the journal opens its segments.
func floorFile(p *JournalPlan, size int64) (f vfs.File, name string, err error) {
	made, err := os.CreateTemp(p.Dir, "lockstep-bench-floor-")
	if err != nil {
		return nil, "", err
	}
	name = made.Name()
	if err := errors.Join(made.Close(), fillFile(name, size)); err != nil {
		return nil, name, errors.Join(err, os.Remove(name))
	}
	flags := vfs.Write | vfs.Direct | vfs.Dsync
	if p.Buffered {
		flags = vfs.Write
	}
	if f, err = (vfs.Real{}).OpenFile(name, flags); errors.Is(err, unix.EINVAL) {
		p.Buffered = true
		f, err = vfs.Real{}.OpenFile(name, vfs.Write)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(name))
	}
	return f, name, err
}

func fillFile(name string, size int64) error {
	f, err := vfs.Real{}.OpenFile(name, vfs.Write|vfs.Direct)
	if errors.Is(err, unix.EINVAL) {
		f, err = vfs.Real{}.OpenFile(name, vfs.Write)
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Allocate(0, size), f.Sync(), f.Close())
}

// syncWords says how the floors write.
func (p *JournalPlan) syncWords() string {
	if p.Buffered {
		return "write and fdatasync"
	}
	return "O_DIRECT|O_DSYNC"
}

// BareAppend writes blocks of a whole batch, one after the other, each durable before the next.
func BareAppend(p *JournalPlan, scenario string) (row JournalRow, err error) {
	f, name, err := floorFile(p, p.Bytes)
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(name)) }()
	row = JournalRow{Scenario: scenario, Pattern: "append", Sync: p.syncWords()}
	b := vfs.AlignedBytes(journal.MaxBatch)
	times, clock := NewHistogram(), agent.System{}
	start := clock.NowNs()
	for at := int64(0); at < p.Bytes; at += int64(len(b)) {
		before := clock.NowNs()
		if err := p.writeDurably(f, b, at); err != nil {
			return row, err
		}
		_ = times.RecordValue(clock.NowNs() - before)
	}
	row.set(times, p.Bytes, time.Duration(clock.NowNs()-start))
	return row, nil
}

func (p *JournalPlan) writeDurably(f vfs.File, b []byte, at int64) error {
	_, err := f.WriteAt(b, at)
	if err == nil && p.Buffered {
		err = f.Sync()
	}
	return err
}

// diskWriter writes what the journal writes for one record after the other: the block that the last one ended in, from its
// beginning, and the next one when the record reaches it.
type diskWriter struct {
	plan  JournalPlan
	file  vfs.File
	name  string
	times *hdrhistogram.Histogram
}

// run writes records of so many bytes, header and padding included, for as long as is measured.
func (w *diskWriter) run(record int, size int, measure time.Duration) error {
	b := vfs.AlignedBytes(record + 2*vfs.BlockBytes)
	clock, at := agent.System{}, 0
	for end := clock.NowNs() + measure.Nanoseconds(); clock.NowNs() < end; {
		first := at &^ (vfs.BlockBytes - 1)
		until := (at + record + vfs.BlockBytes - 1) &^ (vfs.BlockBytes - 1)
		before := clock.NowNs()
		if err := w.plan.writeDurably(w.file, b[:until-first], int64(first)); err != nil {
			return err
		}
		_ = w.times.RecordValue(clock.NowNs() - before)
		if at += record; at > size-2*len(b) {
			at = 0
		}
	}
	return nil
}

// BareDurable writes what the journal writes for one record after the other.
func BareDurable(p *JournalPlan, scenario string, record int) (row JournalRow, err error) {
	const size = 64 << 20
	w := diskWriter{times: NewHistogram()}
	if w.file, w.name, err = floorFile(p, size); err != nil {
		return row, err
	}
	w.plan = *p
	defer func() { err = errors.Join(err, w.file.Close(), os.Remove(w.name)) }()
	row = JournalRow{Scenario: scenario, Pattern: "durable", Payload: p.Payload, Sync: p.syncWords()}
	begin := time.Now()
	if err := w.run(record, size, p.Measure); err != nil {
		return row, err
	}
	row.set(w.times, w.times.TotalCount()*int64(record), time.Since(begin))
	return row, nil
}

// ErrNoFio says that there is no fio on this machine.
var ErrNoFio = errors.New("bench: fio is not installed")

// fioOutput is what is read of fio's JSON.
type fioOutput struct {
	Jobs []struct {
		Write struct {
			BW     float64    `json:"bw_bytes"`
			IOPS   float64    `json:"iops"`
			Bytes  int64      `json:"io_bytes"`
			Total  int64      `json:"total_ios"`
			ClatNs fioLatency `json:"clat_ns"`
		} `json:"write"`
		Sync struct {
			LatNs fioLatency `json:"lat_ns"`
		} `json:"sync"`
	} `json:"jobs"`
}

// fioLatency is a latency in nanoseconds.
type fioLatency struct {
	Min        float64            `json:"min"`
	Max        float64            `json:"max"`
	Percentile map[string]float64 `json:"percentile"`
}

// Fio has fio write the pattern of a floor: a whole file once in blocks of a batch (block 1 MiB), or blocks of 4 KiB for
// the plan's time.
func Fio(ctx context.Context, p *JournalPlan, scenario, pattern string, block, size int64) (row JournalRow, err error) {
	program, err := exec.LookPath("fio")
	if err != nil {
		return row, ErrNoFio
	}
	f, name, err := floorFile(p, size)
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, os.Remove(name)) }()
	if err := f.Close(); err != nil {
		return row, err
	}
	args := []string{"--name=floor", "--filename=" + name, "--rw=write", "--ioengine=psync", "--overwrite=1", "--fallocate=none",
		fmt.Sprintf("--bs=%d", block), fmt.Sprintf("--size=%d", size), "--output-format=json"}
	if p.Buffered {
		args = append(args, "--fdatasync=1")
	} else {
		args = append(args, "--direct=1", "--sync=dsync")
	}
	if pattern == "durable" {
		args = append(args, "--time_based", fmt.Sprintf("--runtime=%d", max(1, int(p.Measure.Seconds()+0.5))))
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Stderr = p.Dir, &stderr
	text, err := cmd.Output()
	if err != nil {
		return row, fmt.Errorf("bench: fio: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	row = JournalRow{Scenario: scenario, Pattern: pattern, Sync: "fio psync, " + p.syncWords()}
	return row, row.setFio(text)
}

func (r *JournalRow) setFio(text []byte) error {
	var out fioOutput
	err := json.Unmarshal(text, &out)
	if err == nil && len(out.Jobs) != 1 {
		err = fmt.Errorf("%d jobs, not 1", len(out.Jobs))
	}
	if err != nil {
		return fmt.Errorf("bench: what fio says is not understood: %w: %.200s", err, text)
	}
	w, s := &out.Jobs[0].Write, &out.Jobs[0].Sync.LatNs // syncs of their own there are without direct I/O only
	r.Bytes, r.Writes, r.MBPerSec, r.PerSec = w.Bytes, w.Total, round(w.BW/1e6), round(w.IOPS)
	r.MinUs, r.MaxUs = round((w.ClatNs.Min+s.Min)/1e3), round((w.ClatNs.Max+s.Max)/1e3)
	us := func(q string) float64 { // fio's percentiles are bounds of its buckets: they can lie outside of what it measured
		return min(max(round((w.ClatNs.Percentile[q]+s.Percentile[q])/1e3), r.MinUs), r.MaxUs)
	}
	r.P50Us, r.P99Us = us("50.000000"), us("99.000000")
	return nil
}

// blockDevice finds the device that a directory is on: its kernel name, and where the kernel describes it or, for a partition, the
// disk that it is of.
func blockDevice(dir string) (name, path string, ok bool) {
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return "", "", false
	}
	path, err := filepath.EvalSymlinks(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)))
	if err != nil {
		return "", "", false
	}
	name = filepath.Base(path)
	if _, err := os.Stat(filepath.Join(path, "partition")); err == nil {
		path = filepath.Dir(path)
	}
	return name, path, true
}

// DiskName names the device that a directory is on: its kernel name, model and write cache, as far as the kernel tells.
func DiskName(dir string) string {
	name, path, ok := blockDevice(dir)
	if !ok {
		return "none (" + FileSystem(dir) + ")"
	}
	read := func(file string) string {
		text, err := os.ReadFile(filepath.Join(path, file))
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(text))
	}
	words := []string{name}
	if model := read("device/model"); model != "" {
		words = append(words, model)
	} else if driver, err := os.Readlink(filepath.Join(path, "device/driver")); err == nil {
		words = append(words, filepath.Base(driver))
	}
	if cache := read("queue/write_cache"); cache != "" {
		words = append(words, "cache "+cache)
	}
	return strings.Join(words, ", ")
}
