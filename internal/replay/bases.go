package replay

import (
	"errors"
	"io"
	"slices"

	"lockstep/journal/snapshot"
	"lockstep/service"
	"lockstep/wire"
)

// bases are the snapshots that a replay may begin with.
type bases struct {
	store *snapshot.Store
	floor wire.Position       // where the log begins
	list  []snapshot.Manifest // oldest first
	next  *snapshot.Manifest  // that the driver is to begin with; nil: position 0
	begun bool                // it has: whatever it asks for from now on is to start over
}

// choose takes the next beginning to be tried, nil for position 0.
func (b *bases) choose(oldest bool) *snapshot.Manifest {
	b.next = nil
	if n := len(b.list); n > 0 && oldest {
		b.next = &b.list[0]
	} else if n > 0 {
		b.next = &b.list[n-1]
	}
	return b.next
}

// drop takes one out that is of no use.
func (b *bases) drop(at wire.Position) {
	b.list = slices.DeleteFunc(slices.Clone(b.list), func(m snapshot.Manifest) bool { return m.Position() == at })
}

// open is service.Options.Base: the driver calls it when it is made, and when it starts over below a limit.
func (b *bases) open(limit wire.Position) (io.ReadCloser, error) {
	if !b.begun {
		b.begun = true
		return b.data(b.next)
	}
	for i := len(b.list) - 1; i >= 0; i-- {
		if b.list[i].Position() <= limit {
			return b.data(&b.list[i])
		}
	}
	return b.data(nil)
}

func (b *bases) data(m *snapshot.Manifest) (io.ReadCloser, error) {
	if m != nil {
		return b.store.OpenData(m.Position())
	}
	if b.floor > 0 {
		return nil, ErrNoBeginning
	}
	return nil, nil
}

// limits are those in force at a snapshot.
func (b *bases) limits(at wire.Position) (service.Limits, error) {
	r, err := b.store.OpenData(at)
	if err != nil {
		return service.Limits{}, err
	}
	head, err := service.ReadSnapshotHead(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return service.Limits{}, err
	}
	return head.Limits, nil
}
