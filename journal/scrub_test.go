package journal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"lockstep/agent"
	"lockstep/internal/vfs"
	"lockstep/wire"
)

// scrubbed is a log of several sealed segments and its scrub, driven inline.
type scrubbed struct {
	*image
	failing *vfs.Failing
	scrub   *Scrubber
	invoker *agent.Invoker
	limit   wire.Position
	bytes   func(g Gap) ([]byte, error) // what other nodes have
	alarms  []string
	now     int64
}

func newScrubbed(t *testing.T) *scrubbed {
	t.Helper()
	m := vfs.NewMem()
	s := &scrubbed{failing: vfs.NewFailing(m)}
	r := newRig(t, s.failing)
	for i := range 250 {
		r.append(1, i*67%4500)
		r.sync()
	}
	s.image = &image{r, m}
	s.limit = r.chain.Position
	s.bytes = func(g Gap) ([]byte, error) { return r.log[g.From:g.Until], nil }
	s.start()
	t.Cleanup(func() {
		errNone(t, s.invoker.Close())
		r.close()
	})
	return s
}

// start makes the scrub's agent.
func (s *scrubbed) start() {
	s.t.Helper()
	var err error
	s.scrub, err = s.j.Scrubber(ScrubOptions{BytesPerS: 1 << 20, Limit: func() wire.Position { return s.limit },
		Mend: func(g Gap, try func([]byte) error) error {
			b, err := s.bytes(g)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrMend, err)
			}
			return try(b)
		},
		Alarm: func(msg string) { s.alarms = append(s.alarms, msg) }})
	if err != nil {
		s.t.Fatal(err)
	}
	s.invoker = agent.NewInvoker(s.scrub)
	if err := s.invoker.Start(s.now); err != nil {
		s.t.Fatal(err)
	}
}

// pass runs the scrub until it has read everything once more.
func (s *scrubbed) pass() error {
	s.t.Helper()
	for passes := s.scrub.passes.Load(); s.scrub.passes.Load() == passes; s.now += 50_000_000 {
		if _, err := s.invoker.Invoke(s.now); err != nil {
			return err
		}
		if s.now > 1e13 {
			s.t.Fatal("the scrub does not end a pass")
		}
	}
	return nil
}

func (s *scrubbed) rot(at wire.Position, mask byte) {
	s.t.Helper()
	file, offset := where(at)
	if err := s.mem.Rot(file, offset, mask); err != nil {
		s.t.Fatal(err)
	}
}

// sound wants the disk to hold the log.
func (s *scrubbed) sound(what string) {
	s.t.Helper()
	sum, err := Verify(s.mem.Crash(vfs.LoseAll), testDir)
	if err != nil || sum.Outcome.Forgot() || sum.Chain != s.chain || sum.BadHeader != 0 {
		s.t.Fatalf("%s: %v, %v", what, sum, err)
	}
	s.check()
}

// TestP4ScrubMendsColdDamage flips bits and spoils sectors all over the sealed segments: each is found by the next pass,
// mended and told.
func TestP4ScrubMendsColdDamage(t *testing.T) {
	s := newScrubbed(t)
	sealed := s.j.current.first
	found := uint64(0)
	for at := wire.Position(60); at < sealed; at += 12_345 {
		if at%2 == 0 {
			s.rot(at, 1<<(at%7))
		} else {
			file, offset := where(at)
			errNone(t, s.mem.Spoil(file, offset))
		}
		errNone(t, s.pass())
		if found++; s.scrub.errors.Load() != found || len(s.scrub.Damage()) != 0 || len(s.alarms) != int(found) {
			t.Fatalf("damage at %d: %d found, standing %v, told %v", at, s.scrub.errors.Load(), s.scrub.Damage(), s.alarms)
		}
		if last := s.alarms[found-1]; !strings.Contains(last, "mended") || !strings.Contains(last, "offset") {
			t.Fatalf("told: %s", last)
		}
		s.sound(fmt.Sprint("damage at ", at))
	}
	if found < 20 {
		t.Errorf("%d damages tried", found)
	}
}

// TestScrubRewritesHeaders: a damaged header of a sealed segment is known from the segment before.
func TestScrubRewritesHeaders(t *testing.T) {
	s := newScrubbed(t)
	for _, offset := range []int64{3, 30, 50, 4000} {
		errNone(t, s.mem.Rot(testDir+"/journal/"+segmentName(MinSegmentBytes), offset, 2))
		errNone(t, s.pass())
		s.sound(fmt.Sprint("header at ", offset))
	}
	if len(s.alarms) != 4 || s.scrub.errors.Load() != 4 {
		t.Errorf("told %v", s.alarms)
	}
}

// TestP5UnmendableDamageIsToldAndServingGoesOn: what nobody has stays, in the status, in every pass's alarm, and the scrub
// goes on behind it; when somebody has it again it is mended.
func TestP5UnmendableDamageIsToldAndServingGoesOn(t *testing.T) {
	s := newScrubbed(t)
	have := s.bytes
	nobody := errors.New("nobody has them")
	bad := s.ends[20]
	s.bytes = func(g Gap) ([]byte, error) {
		if g.From == bad {
			return nil, nobody
		}
		return have(g)
	}
	s.rot(bad+70, 1)
	s.rot(MinSegmentBytes+5000, 1)
	for pass := range 2 {
		errNone(t, s.pass())
		standing := s.scrub.Damage()
		if len(standing) != 1 || !strings.Contains(standing[0], "nobody has them") || s.scrub.damaged.Load() != 1 {
			t.Fatalf("pass %d: standing %v, told %v", pass, standing, s.alarms)
		}
	}
	if len(s.alarms) != 3 { // one mended, the other told in each pass
		t.Errorf("told %v", s.alarms)
	}
	s.append(1, 500) // the journal goes on
	s.sync()
	s.bytes = have
	errNone(t, s.pass())
	if len(s.scrub.Damage()) != 0 || s.scrub.damaged.Load() != 0 {
		t.Errorf("standing %v", s.scrub.Damage())
	}
	s.sound("mended in the end")
}

// TestScrubRefusesOtherBytes: what does not fit from both ends is not written.
func TestScrubRefusesOtherBytes(t *testing.T) {
	s := newScrubbed(t)
	s.bytes = func(g Gap) ([]byte, error) { return bytes.Clone(s.log[:g.Bytes()]), nil }
	s.rot(s.ends[20]+70, 1)
	before := contents(t, s.mem, testDir+"/journal/"+segmentName(0))
	errNone(t, s.pass())
	if !bytes.Equal(before, contents(t, s.mem, testDir+"/journal/"+segmentName(0))) || len(s.scrub.Damage()) != 1 {
		t.Errorf("standing %v", s.scrub.Damage())
	}
}

// TestScrubFailedWriteIsFinal: an error while mending ends the agent, and with it the node.
func TestScrubFailedWriteIsFinal(t *testing.T) {
	s := newScrubbed(t)
	s.rot(s.ends[20]+70, 1)
	s.failing.Inject(vfs.Fault{Ops: vfs.OpWrite, Path: ".seg", Err: syscall.EIO})
	if err := s.pass(); !errors.Is(err, syscall.EIO) {
		t.Errorf("%v", err)
	}
}

// TestScrubKeepsToItsRateAndLimit: no more bytes than the rate allows, none beyond the limit, and no damage is seen in a
// log that grows and is cut beyond it.
func TestScrubKeepsToItsRateAndLimit(t *testing.T) {
	s := newScrubbed(t)
	const second = 1_000_000_000
	for s.now = 0; s.now < second/4; s.now += second / 1000 {
		_, err := s.invoker.Invoke(s.now)
		errNone(t, err)
	}
	if got := s.scrub.bytes.Load(); got < 1<<17 || got > 1<<18+2*scrubStep {
		t.Errorf("%d bytes in a quarter of a second at 1 MiB a second", got)
	}
	s.limit = s.ends[60]
	s.rot(s.ends[100], 1)
	errNone(t, s.pass())
	errNone(t, s.pass())
	s.limit = s.ends[60] + 20 // within a record, as a follower's commit may be
	errNone(t, s.pass())
	s.limit = s.ends[61] + 20
	errNone(t, s.pass())
	if len(s.alarms) != 0 {
		t.Errorf("told %v", s.alarms)
	}
	s.rot(s.ends[100], 1)
	generation := s.j.Generation()
	for i := range 12 {
		for range 20 {
			s.append(1, 3000)
			s.sync()
			s.limit = s.ends[len(s.ends)-15]
			s.now += second / 20
			_, err := s.invoker.Invoke(s.now)
			errNone(t, err)
		}
		if i%3 == 2 {
			at := s.ends[len(s.ends)-14]
			s.cut(at, generation+uint64(i))
			s.ends = s.ends[:len(s.ends)-13]
		}
	}
	if len(s.alarms) != 0 || s.scrub.errors.Load() != 0 {
		t.Errorf("told %v", s.alarms)
	}
}

// TestScrubSeesAWrongLengthAtTheEnd: a length that leads beyond the limit is damage if the limit stays.
func TestScrubSeesAWrongLengthAtTheEnd(t *testing.T) {
	s := newScrubbed(t)
	last := len(s.ends) - 1
	for s.ends[last] >= s.j.current.first {
		last--
	}
	s.limit = s.ends[last+1]
	s.rot(s.ends[last-1]+1, 0x80) // 32 KiB longer
	errNone(t, s.pass())
	errNone(t, s.pass())
	if len(s.alarms) != 1 || !strings.Contains(s.alarms[0], "mended") {
		t.Errorf("told %v", s.alarms)
	}
	s.sound("wrong length")
}

// TestScrubEveryOperationFailsOnce: whatever operation fails while the scrub works, it mends, or tells, or ends; it
// makes nothing worse, and no failure to read is taken for something to write.
func TestScrubEveryOperationFailsOnce(t *testing.T) {
	s := newScrubbed(t)
	bad := s.ends[50]
	for i := 0; ; i++ {
		s.rot(bad+70, 1)
		before := s.failing.Ops()
		s.failing.Inject(vfs.Fault{Ops: vfs.OpAll, Skip: i, Err: syscall.EIO})
		if err := s.pass(); errors.Is(err, syscall.EIO) {
			s.start() // the node has ended, and starts again
		} else if err != nil {
			t.Fatalf("operation %d: %v", i, err)
		}
		used := s.failing.Ops() - before
		s.failing.Heal()
		errNone(t, s.pass())
		s.sound(fmt.Sprint("operation ", i))
		if used <= i {
			break
		}
	}
	if len(s.alarms) < 10 {
		t.Errorf("told %v", s.alarms)
	}
}

// TestScrubEveryReadFailsWhileNobodyHasTheBytes: what cannot be mended, and is followed by what cannot be read either at that
// moment, is told, and the scrub goes on or begins anew.
func TestScrubEveryReadFailsWhileNobodyHasTheBytes(t *testing.T) {
	for i := 0; ; i++ {
		s := newScrubbed(t)
		s.bytes = func(Gap) ([]byte, error) { return nil, errors.New("nobody has them") }
		for at := s.ends[20]; at < s.ends[80]; at += vfs.BlockBytes {
			file, offset := where(at)
			errNone(t, s.mem.Spoil(file, offset))
		}
		before := s.failing.Ops()
		s.failing.Inject(vfs.Fault{Ops: vfs.OpRead, Skip: i, Times: 3, Err: syscall.EIO})
		errNone(t, s.pass())
		used := s.failing.Ops() - before
		s.failing.Heal()
		errNone(t, s.pass())
		if standing := s.scrub.Damage(); len(standing) != 1 || !strings.Contains(standing[0], "nobody has them") {
			t.Fatalf("read %d fails: standing %v", i, standing)
		}
		if used <= i {
			break
		}
	}
}
