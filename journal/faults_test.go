package journal

import (
	"bytes"
	"errors"
	"os"
	"syscall"
	"testing"

	"lockstep/internal/vfs"
)

// eachSync runs a test with each operation that makes bytes durable: a sync, and a write that is one.
func eachSync(t *testing.T, test func(t *testing.T, m *vfs.Mem, f *vfs.Failing, op vfs.Op)) {
	for _, op := range []vfs.Op{vfs.OpSync, vfs.OpWrite} {
		t.Run(op.String(), func(t *testing.T) {
			m := vfs.NewMem()
			if op == vfs.OpSync {
				m.RefuseDirect()
			}
			test(t, m, vfs.NewFailing(m), op)
		})
	}
}

// TestP2NothingIsDurableBeforeItsSync: with the sync held up, or the write that is one, nothing is reported.
func TestP2NothingIsDurableBeforeItsSync(t *testing.T) {
	eachSync(t, func(t *testing.T, m *vfs.Mem, f *vfs.Failing, op vfs.Op) {
		c := newRig(t, f)
		c.append(1, 100)
		c.sync()
		durable, size := c.durable, c.chain.Position
		hang := make(chan struct{})
		f.Inject(vfs.Fault{Ops: op, Path: ".seg", Hang: hang})
		c.append(1, 100)
		c.want(true)
		ended := make(chan error)
		go func() {
			_, err := c.writer.Invoke(c.now) // it is stuck in the disk
			ended <- err
		}()
		for range 1000 {
			var reports [4]Report
			if n := c.port.Poll(reports[:]); n != 0 {
				t.Fatalf("%+v while the disk has not answered", reports[:n])
			}
		}
		after, rec, err := Open(optionsOn(c.options, m.Crash(vfs.LoseAll)))
		errNone(t, err)
		if rec.Chain.Position != size {
			t.Errorf("a power cut leaves %v, want %d", rec, size)
		}
		errNone(t, after.Close())
		close(hang)
		errNone(t, <-ended)
		errNone(t, c.turn())
		if c.durable == durable || c.durable != c.chain.Position {
			t.Errorf("durable %d after the disk has answered", c.durable)
		}
		c.close()
	})
}

func optionsOn(o Options, fs vfs.FS) Options {
	o.FS = fs
	return o
}

// TestP6FailedSyncIsFinal: a sync fails once and would succeed after that, with the pages gone, as kernels do it. The
// journal does not ask again, and reports nothing of it as durable.
func TestP6FailedSyncIsFinal(t *testing.T) {
	eachSync(t, func(t *testing.T, m *vfs.Mem, f *vfs.Failing, op vfs.Op) {
		r := newRig(t, f)
		for range 5 {
			r.append(1, 700)
			r.sync()
		}
		promised := r.durable
		f.Inject(vfs.Fault{Ops: op, Path: ".seg", Err: syscall.EIO})
		r.append(1, 700)
		r.want(true)
		if err := r.turn(); !errors.Is(err, syscall.EIO) {
			t.Fatalf("%v", err)
		}
		before := f.Ops()
		for range 10 {
			r.now += r.j.options.RetryNs
			if _, err := r.writer.Invoke(r.now); !errors.Is(err, syscall.EIO) {
				t.Fatalf("tried again: %v", err)
			}
		}
		if f.Ops() != before || r.durable != promised {
			t.Errorf("%d operations after the failure, durable %d of %d", f.Ops()-before, r.durable, promised)
		}
		if last := r.reports[len(r.reports)-1]; last.Kind != ReportFailed || !errors.Is(last.Err, syscall.EIO) {
			t.Errorf("last report %+v", last)
		}
		after, rec, err := Open(optionsOn(r.options, m.Crash(vfs.LoseAll)))
		errNone(t, err)
		if rec.Forgot() || rec.Chain.Position < promised {
			t.Errorf("%v after the next start, %d was durable", rec, promised)
		}
		errNone(t, after.Close())
	})
}

// TestP9RotateCrash cuts the power at every step of going on in a next segment: preparing, naming, taking it into use,
// the first records in it, and of a cut back over its bound. What was durable is there, and nothing looks damaged.
func TestP9RotateCrash(t *testing.T) {
	m := vfs.NewMem()
	r := newRig(t, m)
	for r.chain.Position < MinSegmentBytes-20_000 {
		r.append(1, 9000)
		r.sync()
	}
	images, floor := 0, r.durable
	m.Step = func(op vfs.Op, path string) {
		for _, choose := range []vfs.Choose{vfs.LoseAll, vfs.KeepAll} {
			images++
			j, rec, err := Open(optionsOn(r.options, m.Crash(choose)))
			if err != nil || rec.Forgot() || rec.Chain.Position < min(floor, r.durable) {
				t.Fatalf("before %s on %s: %v, %v, durable %d", op, path, rec, err, r.durable)
			}
			errNone(t, j.Close())
		}
	}
	for r.chain.Position < 2*MinSegmentBytes+30_000 {
		r.append(1, 9000)
		r.sync()
	}
	at := r.ends[MinSegmentBytes/9064-2] // in the first segment
	floor = at
	r.cut(at, r.j.Generation()+1)
	r.append(2, 100)
	r.sync()
	m.Step = nil
	if images < 100 {
		t.Errorf("%d images", images)
	}
	r.check()
	r.close()
}

// TestP10WhatIsNotOursIsLeftAlone: no file that the journal does not know is removed or changed, whatever it does.
func TestP10WhatIsNotOursIsLeftAlone(t *testing.T) {
	im := newImage(t)
	defer im.close()
	foreign := map[string][]byte{}
	for _, name := range []string{"notes", "journal/README", "journal/00000000000000000000.seg.bak", "journal/123.seg",
		"journal/00000000000000000001.seg", "journal/zzz.tmp"} {
		foreign[testDir+"/"+name] = []byte("keep me: " + name)
	}
	m, j, _ := im.opened(func(m *vfs.Mem) {
		for name, text := range foreign {
			f, err := m.OpenFile(name, vfs.Create)
			errNone(t, err)
			_, err = f.WriteAt(text, 0)
			errNone(t, errors.Join(err, f.Sync()))
		}
		file, offset := where(im.ends[40] + 70)
		errNone(t, m.Rot(file, offset, 1))
	})
	errNone(t, j.Discard())
	r := &rig{t: t, fs: m, options: j.options, j: j, rec: j.recovered, log: bytes.Clone(im.log)}
	errNone(t, r.run())
	for range 30 {
		r.append(2, 9000)
		r.sync()
	}
	r.cut(im.ends[10], r.j.Generation()+1)
	r.reopen()
	r.close()
	for name, text := range foreign {
		if got := contents(t, m, name); !bytes.Equal(got, text) {
			t.Errorf("%s holds %q", name, got)
		}
	}
}

// TestP11WipedDirectoryIsRefused: without one of the files that say who the node is and what it promised, nothing
// starts; without its log it is recovering. Nothing is made up.
func TestP11WipedDirectoryIsRefused(t *testing.T) {
	im := newImage(t)
	defer im.close()
	without := func(names ...string) *vfs.Mem {
		m := im.mem.Crash(vfs.KeepAll)
		for _, name := range names {
			errNone(t, m.Remove(testDir+"/"+name))
		}
		return m
	}
	if _, err := LoadIdentity(without("identity"), testDir); !errors.Is(err, ErrNotFormatted) {
		t.Errorf("without identity: %v", err)
	}
	if _, err := BumpRun(without("identity"), testDir); err == nil {
		t.Error("a run was made up")
	}
	if _, err := OpenVote(without("vote"), testDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without vote: %v", err)
	}
	if _, _, err := Open(optionsOn(im.options, without("watermark"))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without watermark: %v", err)
	}
	list, err := im.mem.ReadDir(testDir + "/journal")
	errNone(t, err)
	var segments []string
	for _, name := range list {
		segments = append(segments, "journal/"+name)
	}
	m := without(segments...)
	j, rec, err := Open(optionsOn(im.options, m))
	errNone(t, err)
	if rec.Outcome != OutcomeRecovering || rec.Chain.Position != 0 {
		t.Errorf("without a log: %v", rec)
	}
	if _, ok := rec.Gap(); ok {
		t.Error("a log that is gone as a whole can be mended")
	}
	errNone(t, j.Close())
}
