package node

import (
	"slices"

	"lockstep/internal/simbug"
	"lockstep/wire"
)

// This file decides what is kept on disk and what goes. It does nothing itself: the keeper carries out what it says.

// maxUnverified is how many snapshots newer than the newest verified one are kept while no majority agrees on any: the
// newest, and the oldest, which are verified first if ever.
const maxUnverified = 4

// everything is a position beyond any.
const everything = ^wire.Position(0)

// held is a snapshot that is published here.
type held struct {
	position wire.Position
	verified bool // a majority had the same state there
	pinned   bool // somebody downloads it
}

// holding is what the keeper knows when it decides.
type holding struct {
	held     []held          // ascending
	staged   []wire.Position // complete, and not published yet: ascending
	verified wire.Position   // newest position that is verified, as far as this node has applied
	applied  wire.Position
	durable  wire.Position
	young    wire.Position // the log from here on is not older than retention wants; everything: age does not count
	archived wire.Position // the log below is in an archive
	pinned   wire.Position // somebody reads the log from here on; everything: nobody
	policy   RetentionConfig
}

// keeping is what is to be done.
type keeping struct {
	publish []wire.Position // of staged
	remove  []wire.Position // of held, oldest first
	// fetch says that a verified snapshot newer than any here is to be had from another node.
	fetch bool
	// dropBelow is where the log may begin; it may begin behind that already.
	dropBelow wire.Position
	// unshipped is how much log is kept for the archive alone.
	unshipped wire.Position
}

// decide says what is to be done.
func decide(h *holding) (k keeping) {
	for _, p := range h.staged {
		if p <= h.durable || simbug.On(simbug.PublishEarly) {
			k.publish = append(k.publish, p)
		}
	}
	k.remove = h.superfluous()
	k.fetch = h.lacks()
	k.dropBelow, k.unshipped = h.retain()
	return k
}

// newestVerified returns the two newest snapshots that are verified, 0 where there is none.
func (h *holding) newestVerified() (newest, older wire.Position) {
	for i := len(h.held) - 1; i >= 0; i-- {
		switch {
		case !h.held[i].verified:
		case newest == 0:
			newest = h.held[i].position
		default:
			return newest, h.held[i].position
		}
	}
	return newest, 0
}

// superfluous are the snapshots that go: all but the two newest verified ones, what is newer than those, as far as it
// is not too much, and what somebody downloads.
func (h *holding) superfluous() (remove []wire.Position) {
	newest, older := h.newestVerified()
	unverified := 0
	for i := range h.held {
		if !h.held[i].verified && h.held[i].position > newest {
			unverified++
		}
	}
	seen := 0
	for i := range h.held {
		s := &h.held[i]
		keep := s.position == newest || s.position == older
		if s.position > newest {
			seen++
			keep = seen < maxUnverified || seen == unverified
		}
		if !keep && !s.pinned {
			remove = append(remove, s.position)
		}
	}
	return remove
}

// lacks says whether a verified snapshot is newer than all that are here or about to be: those are verified as well
// before long, if they can be.
func (h *holding) lacks() bool {
	newer := func(s held) bool { return s.position >= h.verified }
	return h.verified > 0 && h.verified <= h.applied && !slices.ContainsFunc(h.held, newer) &&
		!slices.ContainsFunc(h.staged, func(at wire.Position) bool { return at >= h.verified })
}

// retain says where the log may begin: a start must find what follows the older of the two newest verified snapshots, so
// that it can do without the newest; retention wants more.
func (h *holding) retain() (dropBelow, unshipped wire.Position) {
	_, older := h.newestVerified()
	if n := len(h.held); simbug.On(simbug.DropTooMuch) && n > 0 {
		older = h.held[n-1].position
	}
	end := min(h.durable, h.applied)
	want := min(older, end, h.young, end-min(end, wire.Position(h.policy.Bytes)))
	if wait := wire.Position(h.policy.ArchiveWaitBytes); wait > 0 && h.archived < want {
		unshipped = min(want-h.archived, wait)
		want -= unshipped
	}
	return min(want, h.pinned), unshipped
}

// late says that so much log waits for the archive that somebody should look.
func (k *keeping) late(policy *RetentionConfig) bool {
	return policy.ArchiveWaitBytes > 0 && k.unshipped >= wire.Position(policy.ArchiveWaitBytes)/2
}
