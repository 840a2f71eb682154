package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// powerCuts calls check with what power cuts at this point may leave of m: the least, the most (which is the death of
// the process alone), and some between; one of these with -short.
func powerCuts(m *vfs.Mem, rng *rand.Rand, check func(name string, after *vfs.Mem)) {
	if testing.Short() {
		which := rng.IntN(5)
		image := [...]func(int) int{vfs.LoseAll, vfs.KeepAll, rng.IntN, rng.IntN, rng.IntN}[which]
		check(fmt.Sprint("short ", which), m.Crash(image))
		return
	}
	check("lose all", m.Crash(vfs.LoseAll))
	check("keep all", m.Crash(vfs.KeepAll))
	for i := range 3 {
		check(fmt.Sprint("some ", i), m.Crash(rng.IntN))
	}
}

// thin has one of five cases remain with -short, which is for the race detector: it has nothing to see in them, and they
// take it minutes.
func thin(stride int) int {
	if testing.Short() {
		return 5 * stride
	}
	return stride
}

// crashTrace is a journal under work, and what it has promised so far.
type crashTrace struct {
	*rig
	mem    *vfs.Mem
	rng    *rand.Rand
	cutAt  wire.Position // the cut under way, noPosition when there is none
	older  []byte        // the log before the cut under way
	images int
	deep   int // how many images were crashed once more while they were being opened
}

// TestP2P9EveryCrashPoint cuts the power at every step of a trace of batches, cuts and new segments: what was reported
// as durable is found again, nothing that was not written is found, and what was cut does not come back.
func TestP2P9EveryCrashPoint(t *testing.T) {
	for _, buffered := range []bool{false, true} {
		t.Run(fmt.Sprintf("buffered=%v", buffered), func(t *testing.T) {
			m := vfs.NewMem()
			c := &crashTrace{rig: newRig(t, m), mem: m, rng: rand.New(rand.NewPCG(1, 2)), cutAt: noPosition}
			c.close()
			c.options.Buffered = buffered
			c.mustOpen()
			steps := 0
			m.Step = func(op vfs.Op, path string) {
				if steps++; testing.Short() && steps%5 != 0 {
					return
				}
				powerCuts(m, c.rng, func(name string, after *vfs.Mem) {
					c.images++
					c.verify(fmt.Sprintf("%s before %s on %s", name, op, path), after, c.images%7 == 0)
				})
			}
			c.work()
			m.Step = nil
			c.close()
			t.Logf("%d images, %d crashed again while they were opened", c.images, c.deep)
		})
	}
}

// TestL6GhostTail: after a cut was confirmed no power cut brings back what was cut, even if nothing was written since;
// not behind new records either.
func TestL6GhostTail(t *testing.T) {
	for _, buffered := range []bool{false, true} {
		m := vfs.NewMem()
		r := newRig(t, m)
		r.close()
		r.options.Buffered = buffered
		r.mustOpen()
		for range 40 {
			r.append(1, 9000)
			r.sync()
		}
		r.mark()
		at := r.ends[9]
		r.cut(at, r.j.Generation()+1)
		ends := func(want wire.Position) {
			t.Helper()
			powerCuts(m, rand.New(rand.NewPCG(1, 1)), func(name string, after *vfs.Mem) {
				o := r.options
				o.FS = after
				j, rec, err := Open(o)
				if err != nil {
					t.Fatal(err)
				}
				j.Close()
				if rec.Outcome != OutcomeIntact || rec.Chain.Position != want {
					t.Fatalf("%s: %v, want the end at %d", name, rec, want)
				}
			})
		}
		ends(at)
		r.append(2, 9000-64) // as long as what was there, so that old records begin where it ends
		r.sync()
		ends(r.chain.Position)
		r.close()
	}
}

func (c *crashTrace) work() {
	generation := c.j.Generation()
	grow := func(term wire.Term, count, size int) {
		for range count {
			c.append(term, size)
		}
		c.sync()
	}
	cut := func(back int) {
		generation++
		at := wire.Position(0)
		if n := len(c.ends) - 1 - back; n >= 0 {
			at = c.ends[n]
			c.ends = c.ends[:n+1]
		}
		c.cutAt, c.older = at, bytes.Clone(c.log)
		c.cut(at, generation)
		c.cutAt, c.older = noPosition, nil
	}
	grow(1, 3, 50)
	grow(1, 5, 300)
	c.mark()
	cut(2) // within a block
	grow(2, 2, 40)
	grow(2, 6, 40_000) // into the next segment
	c.mark()
	cut(1)
	grow(3, 4, 30_000)
	cut(7) // over a segment's bound
	grow(4, 1, 10)
	c.mark()
	cut(3)
	grow(5, 12, 25_000)
}

// verify opens what a power cut left.
func (c *crashTrace) verify(name string, after *vfs.Mem, deep bool) {
	c.t.Helper()
	if deep {
		c.deep++
		after.Step = func(op vfs.Op, path string) {
			again := after.Crash(c.rng.IntN)
			c.verify(fmt.Sprintf("%s, then again before %s on %s", name, op, path), again, false)
		}
	}
	o := c.options
	o.FS = after
	j, rec, err := Open(o)
	if err != nil {
		c.t.Fatalf("%s: %v", name, err)
	}
	after.Step = nil
	defer j.Close()
	if rec.Outcome.Forgot() {
		c.t.Fatalf("%s: %v", name, rec)
	}
	end := rec.Chain.Position
	if promised := min(c.durable, c.cutAt); end < promised {
		c.t.Fatalf("%s: the log ends at %d, but %d was durable", name, end, promised)
	}
	got := readAll(c.t, after, end)
	if !bytes.HasPrefix(c.log, got) && !bytes.HasPrefix(c.older, got) {
		c.t.Fatalf("%s: found %d bytes that are not the beginning of the log (%d bytes, %d before the cut)",
			name, len(got), len(c.log), len(c.older))
	}
	if c.cutAt == noPosition && rec.Generation < c.j.generation {
		c.t.Fatalf("%s: generation %d after %d was in force", name, rec.Generation, c.j.generation)
	}
	if c.images%3 == 0 {
		c.goOn(name, after, j, rec)
	}
}

// goOn has the recovered journal take one more record, and cuts the power again.
func (c *crashTrace) goOn(name string, fs *vfs.Mem, j *Journal, rec *Recovered) {
	c.t.Helper()
	r := &rig{t: c.t, fs: fs, options: j.options, j: j, rec: rec}
	if err := r.run(); err != nil {
		c.t.Fatalf("%s: %v", name, err)
	}
	r.append(rec.Chain.Term+1, 100)
	r.sync()
	o := j.options
	o.FS = fs.Crash(vfs.LoseAll)
	again, found, err := Open(o)
	if err != nil || found.Chain != r.chain || found.Outcome != OutcomeIntact {
		c.t.Fatalf("%s: after one more record: %v, %v, want the end at %d", name, found, err, r.chain.Position)
	}
	again.Close()
}

// TestP1VoteIsNeverLost cuts the power at every step of storing votes: a vote that was stored is never another one
// later.
func TestP1VoteIsNeverLost(t *testing.T) {
	m := vfs.NewMem()
	if err := Format(m, testDir, testIdentity); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	type vote struct {
		term  wire.Term
		voted wire.NodeID
	}
	var stored, storing vote
	m.Step = func(op vfs.Op, path string) {
		powerCuts(m, rng, func(name string, after *vfs.Mem) {
			v, err := OpenVote(after, testDir)
			if err != nil {
				t.Fatalf("%s before %s: %v", name, op, err)
			}
			first := vote{v.term, v.voted}
			if first != stored && first != storing {
				t.Fatalf("%s before %s: found %v, stored %v, storing %v", name, op, first, stored, storing)
			}
			// Who was told the vote that was found must find it again: opening has made it durable.
			v, err = OpenVote(after.Crash(vfs.LoseAll), testDir)
			if err != nil || (vote{v.term, v.voted}) != first {
				t.Fatalf("%s: found %v, then %v %v", name, first, v, err)
			}
		})
	}
	v, err := OpenVote(m, testDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, storing = range []vote{{1, 0}, {1, 2}, {4, 0}, {4, 1}, {5, 3}, {9, 0}} {
		if err := v.Store(storing.term, storing.voted); err != nil {
			t.Fatal(err)
		}
		stored = storing
	}
	for _, bad := range []vote{{8, 1}, {0, 0}} {
		if err := v.Store(bad.term, bad.voted); !errors.Is(err, ErrVote) {
			t.Errorf("store %v after %v: %v", bad, stored, err)
		}
	}
	storing = vote{9, 2}
	if err := v.Store(9, 2); err != nil {
		t.Fatal(err)
	}
	stored = storing
	if err := v.Store(9, 3); !errors.Is(err, ErrVote) {
		t.Errorf("a second vote in term 9: %v", err)
	}
}

// TestDirectoryCrashPoints cuts the power at every step of making a directory, starting and ending runs.
func TestDirectoryCrashPoints(t *testing.T) {
	m := vfs.NewMem()
	rng := rand.New(rand.NewPCG(5, 6))
	formatted := false
	run := uint32(0)
	written, taking, taken := false, false, false // the clean marker
	m.Step = func(op vfs.Op, path string) {
		powerCuts(m, rng, func(name string, after *vfs.Mem) {
			name = fmt.Sprintf("%s before %s on %s", name, op, path)
			id, err := LoadIdentity(after, testDir)
			if errors.Is(err, ErrNotFormatted) && !formatted {
				if err := Format(after, testDir, testIdentity); err != nil {
					t.Fatalf("%s: format again: %v", name, err)
				}
				return
			}
			if err != nil || id.Incarnation != 77 || id.Cluster != testCluster || id.Run < run || id.Run > run+1 {
				t.Fatalf("%s: %+v, %v, run %d", name, id, err, run)
			}
			if _, err := OpenVote(after, testDir); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			found, err := TakeClean(after, testDir, 1, 640)
			switch {
			case err != nil:
				t.Fatalf("%s: %v", name, err)
			case written && !taking && !found:
				t.Fatalf("%s: the clean marker is gone", name)
			case taken && found:
				t.Fatalf("%s: the clean marker is there a second time", name)
			}
		})
	}
	step := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	step("format", Format(m, testDir, testIdentity))
	formatted = true
	for run < 3 {
		id, err := BumpRun(m, testDir)
		step("bump", err)
		run = id.Run
	}
	step("write clean", WriteClean(m, testDir, 1, 640))
	written, taking = true, true
	found, err := TakeClean(m, testDir, 1, 640)
	step("take clean", err)
	taken = true
	if !found {
		t.Error("the marker that was written was not found")
	}
	_, err = BumpRun(m, testDir)
	step("bump", err)
	run++
	if err := Format(m, testDir, testIdentity); !errors.Is(err, ErrFormatted) {
		t.Errorf("format of a directory in use: %v", err)
	}
}
