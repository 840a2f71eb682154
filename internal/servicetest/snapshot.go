package servicetest

import (
	"bytes"
	"errors"
	"io"

	"lockstep/service"
)

// Snapshot is the service's state as bytes.
func (g *Rig[R]) Snapshot() []byte {
	var b bytes.Buffer
	if err := g.Service.Snapshot(&b); err != nil {
		g.T.Fatal(err)
	}
	return b.Bytes()
}

// TellApart holds that states with one hash are one state, as far as snapshots tell.
func (g *Rig[R]) TellApart(states map[uint64][]byte) {
	now, hash := g.Snapshot(), g.Service.Hash()
	if before, seen := states[hash]; seen && !bytes.Equal(before, now) {
		g.T.Fatalf("two states have hash %x:\n%x\n%x", hash, before, now)
	}
	states[hash] = now
}

// Restore goes on with another service, restored from a snapshot of this one.
func (g *Rig[R]) Restore() {
	before := g.Snapshot()
	s := g.fresh()
	if err := s.Restore(bytes.NewReader(before)); err != nil {
		g.T.Fatal(err)
	}
	if s.Hash() != g.Service.Hash() {
		g.T.Fatalf("hash %x after restoring, %x before", s.Hash(), g.Service.Hash())
	}
	g.Service = s
	if !bytes.Equal(g.Snapshot(), before) {
		g.T.Fatal("a restored service writes another snapshot")
	}
}

// Differs says what tells the services of two rigs apart: hash, snapshot, or when they next fire; "" if nothing does.
func (g *Rig[R]) Differs(other *Rig[R]) string {
	switch {
	case g.Service.Hash() != other.Service.Hash():
		return "their hashes"
	case !bytes.Equal(g.Snapshot(), other.Snapshot()):
		return "their snapshots"
	case g.Timer() != other.Timer():
		return "their timers"
	}
	return ""
}

// RefusesDamage holds that the snapshot of the service's state restores, and nothing that differs from it: what is cut,
// longer, or has another byte is refused with the error. other is a service with other options, for which it is not
// suited.
func (g *Rig[R]) RefusesDamage(refused error, other Service) {
	t, good := g.T, g.Snapshot()
	restore := func(b []byte) (Service, error) {
		s := g.fresh()
		return s, s.Restore(bytes.NewReader(b))
	}
	if s, err := restore(good); err != nil || s.Hash() != g.Service.Hash() {
		t.Fatalf("the good one: %v", err)
	}
	for n := range good {
		if _, err := restore(good[:n]); !errors.Is(err, refused) {
			t.Fatalf("%d of %d bytes: %v", n, len(good), err)
		}
	}
	if _, err := restore(append(bytes.Clone(good), 0)); !errors.Is(err, refused) {
		t.Errorf("a byte more: %v", err)
	}
	for n := range good {
		for _, flip := range []byte{1, 0x80, 0xff} {
			bad := bytes.Clone(good)
			bad[n] ^= flip
			if _, err := restore(bad); !errors.Is(err, refused) {
				t.Fatalf("byte %d of %d is %x: %v", n, len(good), bad[n], err)
			}
		}
	}
	if err := other.Restore(bytes.NewReader(good)); !errors.Is(err, service.ErrUnsuited) {
		t.Errorf("other options: %v", err)
	}
}

// failing is a writer that fails.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// SaysWhatItsWriterSays holds that a snapshot that cannot be written fails with the writer's error.
func (g *Rig[R]) SaysWhatItsWriterSays() {
	if err := g.Service.Snapshot(failing{}); !errors.Is(err, io.ErrClosedPipe) {
		g.T.Errorf("%v", err)
	}
}

// RestoresOnlyWhatItWrites holds that bytes from anywhere are refused, or are the snapshot of the state that comes of
// them.
func (g *Rig[R]) RestoresOnlyWhatItWrites(b []byte) {
	s := g.fresh()
	if s.Restore(bytes.NewReader(b)) != nil {
		return
	}
	var again bytes.Buffer
	if err := s.Snapshot(&again); err != nil || !bytes.Equal(again.Bytes(), b) {
		g.T.Fatalf("%v: %x was restored, and is written as %x", err, b, again.Bytes())
	}
}
