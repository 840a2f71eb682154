package sim

import (
	"math/rand/v2"
	"strings"
	"testing"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// flips is how many places of the journal have a bit flipped, by each test.
func flips(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

// flip is a bit of a node's journal.
type flip struct {
	file   string
	offset int64
	mask   byte
	was    byte
}

// flipper flips bits of what a node had synced: anywhere in its segments, headers too.
type flipper struct {
	s      *scene
	m      *member
	rng    *rand.Rand
	limit  wire.Position // what lies beyond was perhaps never promised
	sealed bool          // of sealed segments only
}

// next flips one bit.
func (f *flipper) next() flip {
	f.s.t.Helper()
	for {
		at := wire.Position(f.rng.Int64N(int64(f.limit)))
		file, offset, _ := f.m.locate(at)
		size, _ := f.m.disk.Stat(file)
		if end := at - wire.Position(offset-vfs.BlockBytes) + wire.Position(size-vfs.BlockBytes); f.sealed && end > f.limit {
			continue
		}
		if f.rng.IntN(8) == 0 {
			offset = f.rng.Int64N(pick[int64](f.rng, 80, vfs.BlockBytes)) // of the header
		}
		was, err := f.m.peek(file, offset)
		if err != nil {
			f.s.wrong("%s offset %d: %v", file, offset, err)
		}
		x := flip{file, offset, 1 << f.rng.IntN(8), was}
		if err := f.m.disk.Rot(file, offset, x.mask); err != nil {
			f.s.wrong("%s offset %d: %v", file, offset, err)
		}
		return x
	}
}

// mended says whether a bit is again what it was.
func (f *flipper) mended(x flip) bool {
	b, err := f.m.peek(x.file, x.offset)
	return err == nil && b == x.was
}

// longer waits until all nodes have a log of several segments.
func (s *scene) longer() *member {
	s.t.Helper()
	s.starts()
	s.await("the log has several segments", patience, func() bool {
		for _, m := range s.members {
			if int64(m.marked) < 3*s.o.SegmentBytes+goesOn {
				return false
			}
		}
		return true
	})
	return s.lead()
}

// goesOn is how many bytes of log longer has behind three segments: good records follow whatever breaks below.
const goesOn = 16 << 10

func longLog(o *Options) {
	o.Clients.Burst, o.Clients.Payload, o.SegmentBytes, o.RingBytes = 20, 1200, 128<<10, 128<<10
	o.Store.ScrubBytesPerS, o.Store.ScrubPauseNs = 64<<20, 1e9
}

// TestP4FlippedBitAnywhereIsMendedAtStart flips a bit of a node that is down, below what it had synced for long, at one
// random place after the other. Catches damage that is taken for the end of the log, and damage that nobody sees.
func TestP4FlippedBitAnywhereIsMendedAtStart(t *testing.T) {
	s := worldOf(t, longLog)
	leader := s.longer()
	m := s.others(leader)[0]
	s.kill(m)
	f := &flipper{s: s, m: m, rng: rand.New(rand.NewPCG(4, 3)), limit: m.marked - goesOn}
	image := m.disk
	n := flips(1000)
	for range n {
		m.mount(image.Crash(vfs.KeepAll))
		x := f.next()
		m.impaired = true
		m.start()
		s.hold()
		said := m.log.String()[m.said:]
		if !f.mended(x) {
			s.wrong("%s offset %d, bit %08b: it is not mended: %s", x.file, x.offset, x.mask, said)
		}
		if !strings.Contains(said, "damage") && !strings.Contains(said, "mended") && !strings.Contains(said, "rewr") {
			s.wrong("%s offset %d is mended, and nothing is said: %s", x.file, x.offset, said)
		}
		if end := m.core().Append(); end < f.limit {
			s.wrong("%s offset %d is mended, and the log ends at %d, below %d", x.file, x.offset, end, f.limit)
		}
		s.kill(m)
	}
	t.Logf("%d bits flipped, and mended before the node took part", n)
	m.mount(image)
	s.start(m)
	s.finish()
	s.hold()
}

// TestP4FlippedBitAnywhereIsMendedWhileRunning flips a bit beneath a node that runs, in what is sealed, at one random
// place after the other, and has its scrub pass once. Catches a scrub that passes over damage.
func TestP4FlippedBitAnywhereIsMendedWhileRunning(t *testing.T) {
	s := worldOf(t, longLog)
	m := s.longer() // the leader is a node like any
	f := &flipper{s: s, m: m, rng: rand.New(rand.NewPCG(4, 4)), limit: m.marked, sealed: true}
	nowNs, n := m.clock.NowNs(), flips(1000)
	for range n {
		x := f.next()
		said := m.log.Len()
		for tries, passes := 0, m.counter("lockstep_scrub_passes_total"); m.counter("lockstep_scrub_passes_total") == passes; tries++ {
			if nowNs += s.o.Store.ScrubPauseNs; tries > 1000 {
				s.wrong("%s offset %d: the scrub does not pass: %s", x.file, x.offset, m.log.String()[said:])
			}
			if _, err := m.process.agents[agentScrub].Invoke(nowNs); err != nil {
				s.wrong("the scrub ends: %v", err)
			}
		}
		if !f.mended(x) {
			s.wrong("%s offset %d, bit %08b: it is not mended: %s", x.file, x.offset, x.mask, m.log.String()[said:])
		}
		if text := m.log.String()[said:]; !strings.Contains(text, "scrub: mended ") && !strings.Contains(text, "scrub: rewrote ") {
			s.wrong("%s offset %d is mended, and nothing is said: %s", x.file, x.offset, m.log.String()[said:])
		}
		s.hold()
	}
	t.Logf("%d bits flipped and mended beneath a node that runs", n)
	s.goesOn(50)
	s.finish()
	s.hold()
}

// TestP4FlippedBitOfANodeThatIsAloneIsRefused flips bits where nobody has the bytes. Catches a node that starts with less
// than it had acknowledged.
func TestP4FlippedBitOfANodeThatIsAloneIsRefused(t *testing.T) {
	s := worldOf(t, func(o *Options) { longLog(o); o.Nodes = 1 })
	m := s.longer()
	s.kill(m)
	f := &flipper{s: s, m: m, rng: rand.New(rand.NewPCG(4, 5)), limit: m.marked}
	image, end := m.disk, m.seen.commit
	refused, whole, n := 0, 0, flips(200)
	var why error
	m.excuse = func(err error) bool { why = err; return true }
	for range n {
		m.mount(image.Crash(vfs.KeepAll))
		x := f.next()
		why = nil
		m.start()
		s.hold()
		if m.process == nil {
			refused++
			m.starting = true
			if text := why.Error(); !strings.Contains(text, "journal verify") || !strings.Contains(text, ".seg offset ") {
				s.wrong("%s offset %d: it refuses, and does not say what and where: %v", x.file, x.offset, why)
			}
			continue
		}
		whole++
		if !f.mended(x) || m.core().Append() < end { // a header, which the records around it make anew
			s.wrong("%s offset %d, bit %08b: it starts with a log up to %d of %d", x.file, x.offset, x.mask, m.core().Append(), end)
		}
		s.kill(m)
	}
	t.Logf("%d bits flipped: %d times refused by name, %d times nothing was lost", n, refused, whole)
	m.excuse = nil
	m.mount(image)
	s.start(m)
	s.finish()
	s.hold()
}
