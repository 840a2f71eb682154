package journal

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/agent"
	"lockstep/internal/vfs"
	"lockstep/ringbuf"
	"lockstep/wire"
)

// script is a short life of a journal on fs; it ends at the first error.
func script(t *testing.T, fs vfs.FS) (r *rig, err error) {
	r = &rig{t: t, fs: fs, options: testOptions(fs)}
	defer func() {
		if r.j != nil {
			err = errors.Join(err, r.j.Close())
		}
	}()
	if err := r.open(); err != nil {
		return r, err
	}
	if r.rec.Forgot() { // what cannot be read back counts as damaged
		return r, fmt.Errorf("%w: %s", ErrForgot, r.rec)
	}
	for i := range 30 {
		r.append(1, 5000)
		r.want(true)
		if err := r.turn(); err != nil {
			return r, err
		}
		r.now += r.options.SyncIntervalNs + r.j.options.WatermarkIntervalNs + r.j.options.RetryNs
		if _, err := r.marker.Invoke(r.now); err != nil {
			return r, err
		}
		if i == 20 {
			r.durable = min(r.durable, r.ends[18])
			r.port.Cut(r.ends[18], r.j.Generation()+1)
			if err := r.turn(); err != nil {
				return r, err
			}
			r.cutDone(r.ends[18], r.j.Generation())
		}
	}
	// Disk full for a while: what is still waiting goes on by itself.
	for range 3 {
		r.now += r.j.options.RetryNs
		if err := r.turn(); err != nil {
			return r, err
		}
	}
	return r, nil
}

// TestP6EveryOperationFailsOnce fails each operation of a journal's life once. An error stops it, says which file, and
// is reported; what was durable is there afterwards. Only a full disk at the right place is lived with.
func TestP6EveryOperationFailsOnce(t *testing.T) {
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
		for _, short := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v short=%v", cause, short), func(t *testing.T) {
				stopped, lived := 0, 0
				for i := 0; ; i++ {
					m := vfs.NewMem()
					if err := Format(m, testDir, testIdentity); err != nil {
						t.Fatal(err)
					}
					f := vfs.NewFailing(m, vfs.Fault{Ops: vfs.OpAll, Skip: i, Err: cause, Short: short})
					r, err := script(t, f)
					if err == nil && f.Ops() <= i {
						break // past the last operation
					}
					switch {
					case err == nil:
						lived++
					case errors.Is(err, ErrForgot):
						stopped++
					case !errors.Is(err, cause) || !strings.Contains(err.Error(), testDir):
						t.Fatalf("operation %d: %v", i, err)
					default:
						stopped++
					}
					if r.err != nil {
						last := r.reports[len(r.reports)-1]
						if last.Kind != ReportFailed || !errors.Is(last.Err, cause) {
							t.Fatalf("operation %d: last report %+v after %v", i, last, r.err)
						}
						if _, err := r.writer.Invoke(r.now); err == nil {
							t.Fatalf("operation %d: tried again after %v", i, r.err)
						}
					}
					again := &rig{t: t, fs: m, options: testOptions(m)}
					again.mustOpen()
					if at := again.rec.Chain.Position; again.rec.Forgot() || at < min(r.durable, wire.Position(len(r.log))) {
						t.Fatalf("operation %d: %v; durable was %d", i, again.rec, r.durable)
					}
					again.close()
				}
				if stopped < 30 || cause == syscall.ENOSPC && lived == 0 {
					t.Errorf("stopped %d times, lived %d", stopped, lived)
				}
			})
		}
	}
}

// TestP8DiskFull fills the disk: the journal says so, goes on while prepared space lasts, and by itself when there is
// space again.
func TestP8DiskFull(t *testing.T) {
	m := vfs.NewMem()
	r := newRig(t, m)
	r.append(1, 10)
	r.sync()
	m.SetCapacity(1)
	kinds := func() (list []ReportKind) {
		for _, rep := range r.reports {
			if rep.Kind != ReportDurable {
				list = append(list, rep.Kind)
			}
		}
		return list
	}
	for r.chain.Position < 2*MinSegmentBytes+20_000 {
		r.append(1, 10_000)
		r.want(true)
		if err := r.turn(); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(kinds()); got != fmt.Sprint([]ReportKind{ReportFull}) {
		t.Fatalf("reports %v", got)
	}
	if r.durable > 2*MinSegmentBytes || r.durable < 2*MinSegmentBytes-11_000 {
		t.Fatalf("durable %d with %d bytes of segments", r.durable, 2*MinSegmentBytes)
	}
	for range 5 { // still full: asked again at most once in RetryNs, told once
		r.now += r.j.options.RetryNs
		if err := r.turn(); err != nil {
			t.Fatal(err)
		}
	}
	m.SetCapacity(0)
	r.now += r.j.options.RetryNs + 1
	if err := r.turn(); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(kinds()); got != fmt.Sprint([]ReportKind{ReportFull, ReportSpace}) {
		t.Fatalf("reports %v", got)
	}
	if r.durable != r.chain.Position {
		t.Fatalf("durable %d of %d", r.durable, r.chain.Position)
	}
	r.check()
	r.reopen()
	r.check()
	r.close()
}

// TestP12MisdirectedWrite has the disk store a batch elsewhere and say that all is well.
func TestP12MisdirectedWrite(t *testing.T) {
	for _, shift := range []int64{4096, 16 * 4096} {
		m := vfs.NewMem()
		f := vfs.NewFailing(m)
		r := newRig(t, f)
		for range 20 {
			r.append(1, 1000)
			r.sync()
		}
		good := r.chain.Position
		f.Inject(vfs.Fault{Ops: vfs.OpWrite, Path: ".seg", Shift: shift})
		for range 20 {
			r.append(1, 7000)
			r.sync()
		}
		r.mark()
		r.close()
		err := r.open()
		if err != nil {
			t.Fatal(err)
		}
		if !r.rec.Forgot() || r.rec.Chain.Position != good {
			t.Fatalf("shift %d: %v, want the end at %d", shift, r.rec, good)
		}
		r.j.Close()
	}
}

// TestP7LostWrite has the disk drop a batch and say that all is well.
func TestP7LostWrite(t *testing.T) {
	m := vfs.NewMem()
	f := vfs.NewFailing(m)
	r := newRig(t, f)
	r.append(1, 1000)
	r.sync()
	good := r.chain.Position
	f.Inject(vfs.Fault{Ops: vfs.OpWrite, Path: ".seg", Lie: true})
	r.append(1, 20_000)
	r.sync()
	r.mark()
	r.close()
	if err := r.open(); err != nil {
		t.Fatal(err)
	}
	if r.rec.Outcome != OutcomeRecovering || r.rec.Chain.Position != good {
		t.Fatalf("%v", r.rec)
	}
	r.j.Close()
}

// patience is for what is expected to come, on a machine as busy as it may be.
const patience = 2 * time.Minute

// TestE6HungSync hangs a write: nothing is reported as durable, the hang shows at the port, and it goes on afterwards.
func TestE6HungSync(t *testing.T) {
	m := vfs.NewMem()
	if err := Format(m, testDir, testIdentity); err != nil {
		t.Fatal(err)
	}
	f := vfs.NewFailing(m)
	c := startCore(t, f)
	c.append(100)
	c.await(c.chain.Position)
	release := make(chan struct{})
	f.Inject(vfs.Fault{Ops: vfs.OpWrite, Path: ".seg", Hang: release})
	before := c.durable
	c.append(100)
	c.port.Want(c.chain.Position, c.chain.Position)
	deadline := time.Now().Add(patience)
	for c.port.WritingSinceNs() == 0 {
		if time.Now().After(deadline) {
			t.Fatal("the hanging write does not show")
		}
		time.Sleep(time.Millisecond)
	}
	c.poll()
	if c.durable != before {
		t.Fatalf("durable %d while the write hangs", c.durable)
	}
	close(release)
	c.await(c.chain.Position)
	if c.port.WritingSinceNs() != 0 {
		t.Error("a write is under way although nothing is to be written")
	}
	c.stop()
}

// core is the core thread of a journal that runs on threads of its own: the test's goroutine.
type core struct {
	t       testing.TB
	j       *Journal
	ring    *ringbuf.LogRing
	port    *Port
	writer  *agent.Runner
	marker  *agent.Runner
	chain   wire.Chain
	ends    []wire.Position
	durable wire.Position
	wake    chan struct{}
	cutDone bool
}

func startCore(t testing.TB, fs vfs.FS) *core { return startCoreWith(t, testOptions(fs)) }

func startCoreWith(t testing.TB, o Options) *core {
	t.Helper()
	o.Inline = false
	o.SegmentBytes = 512 << 10
	j, rec, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	const size = 512 << 10
	c := &core{t: t, j: j, chain: rec.Chain, durable: rec.Chain.Position, wake: make(chan struct{}, 1), port: NewPort()}
	c.ring = ringbuf.NewLogRing(make([]byte, 2*size), size, false)
	c.port.OnReport = func() {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
	w, err := j.Agent(c.ring, c.port)
	if err != nil {
		t.Fatal(err)
	}
	m, err := j.WatermarkAgent()
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Preload(c.ring); err != nil {
		t.Fatal(err)
	}
	options := agent.RunnerOptions{CPU: agent.NoCPU, Idle: agent.NoIdle{}, Clock: agent.System{}}
	c.writer, c.marker = agent.NewRunner(w, options), agent.NewRunner(m, options)
	if err := errors.Join(c.writer.Start(), c.marker.Start()); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *core) append(size int) { c.appendPayload(make([]byte, size)) }

func (c *core) appendPayload(payload []byte) {
	n := uint64(wire.Padded(uint32(wire.RecordHeaderSize + len(payload))))
	from := uint64(c.chain.Position)
	for from+n > c.ring.Limit() {
		c.port.Want(c.chain.Position, c.chain.Position)
		c.wait()
	}
	c.ring.Prepare(from + n)
	r := wire.Record{Kind: wire.RecordMessage, Term: 1, Timestamp: c.chain.Timestamp + 1}
	c.chain.Append(c.ring.View(from, from+n), &r, payload)
	c.ends = append(c.ends, c.chain.Position)
	c.ring.Publish(from + n)
}

func (c *core) poll() {
	var reports [8]Report
	for {
		n := c.port.Poll(reports[:])
		for _, r := range reports[:n] {
			switch r.Kind {
			case ReportDurable:
				c.durable = r.Position
			case ReportCut:
				c.cutDone = true
				c.durable = min(c.durable, r.Position)
			case ReportFailed:
				c.t.Fatal(r.Err)
			}
		}
		if n == 0 {
			return
		}
	}
}

// wait blocks until the journal has reported something.
func (c *core) wait() {
	c.t.Helper()
	select {
	case <-c.wake:
	case <-time.After(patience):
		c.t.Fatalf("no report for %v: durable %d of %d", patience, c.durable, c.chain.Position)
	}
	c.poll()
}

// await asks for position to be durable and waits for it.
func (c *core) await(position wire.Position) {
	c.t.Helper()
	c.port.Want(c.chain.Position, position)
	for c.poll(); c.durable < position; {
		c.wait()
	}
}

func (c *core) cut(at wire.Position, log []byte) {
	c.t.Helper()
	c.cutDone = false
	if !c.port.Cut(at, c.generation()+1) {
		c.t.Fatal("a cut is under way")
	}
	for !c.cutDone {
		c.wait()
	}
	c.ring.Reset(uint64(at))
	c.chain = chainAt(log, at)
}

// generation counts the cuts: the journal's own number belongs to its thread.
func (c *core) generation() uint64 { return uint64(c.j.count.cuts.Load()) + 1 }

func (c *core) stop() {
	c.t.Helper()
	c.port.Stop()
	c.await(c.chain.Position)
	if err := errors.Join(c.writer.Stop(), c.marker.Stop(), c.j.Close()); err != nil {
		c.t.Fatal(err)
	}
}

// TestThreads runs journal, watermark and core on a thread each, with and without anybody waiting, and cuts.
func TestThreads(t *testing.T) {
	fs := &vfs.Below{Root: t.TempDir()}
	if err := Format(fs, testDir, testIdentity); err != nil {
		t.Fatal(err)
	}
	c := startCore(t, fs)
	for i := range 60 {
		for k := range 20 {
			c.append((i*31 + k*577) % 3000)
			c.port.Want(c.chain.Position, 0)
		}
		switch i % 3 {
		case 0: // somebody waits
			c.await(c.chain.Position)
		case 1: // nobody does: it comes by the interval
			for c.poll(); c.durable < c.chain.Position; {
				c.wait()
			}
		}
		if i%15 == 14 {
			c.await(c.chain.Position)
			log := readAll(t, fs, c.chain.Position)
			c.cut(c.ends[len(c.ends)-1-i], log)
			c.ends = c.ends[:len(c.ends)-i]
			if c.ends[len(c.ends)-1] != c.chain.Position {
				t.Fatal("cut elsewhere")
			}
		}
	}
	c.stop()
	o := testOptions(fs)
	j, rec, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if rec.Outcome != OutcomeIntact || rec.Chain != c.chain || rec.Watermark != c.chain.Position {
		t.Fatalf("%v, want the end at %d", rec, c.chain.Position)
	}
}

// TestQuietJournalSleeps: a journal without work neither turns nor wakes.
func TestQuietJournalSleeps(t *testing.T) {
	m := vfs.NewMem()
	if err := Format(m, testDir, testIdentity); err != nil {
		t.Fatal(err)
	}
	f := vfs.NewFailing(m)
	c := startCore(t, f)
	c.append(10)
	c.await(c.chain.Position)
	// It comes to rest: no operation for a while, both threads blocked without a time-out.
	deadline := time.Now().Add(patience)
	for before := -1; before != f.Ops() || !c.j.writeSleep.untimed() || !c.j.markSleep.untimed(); {
		if time.Now().After(deadline) {
			t.Fatal("a journal without work does not come to rest")
		}
		before = f.Ops()
		time.Sleep(30 * time.Millisecond)
	}
	if at, _ := c.j.watermark.Load(); at != c.durable {
		t.Errorf("watermark %d, durable %d", at, c.durable)
	}
	c.stop()
}
