package node

import (
	"slices"

	"lockstep/internal/simbug"
	"lockstep/journal/snapshot"
	"lockstep/wire"
)

// This file decides which snapshot of which node is fetched. It does nothing itself.

// behind is what a follower knows of the log that it lacks.
type behind struct {
	from    wire.Position // the first byte that it was refused
	sinceNs int64         // since when it has got none
	atNs    int64         // of the last refusal
	is      bool
}

const (
	// behindNs is how long a refusal counts: who still wants the log asks again sooner.
	behindNs = 5_000_000_000
	// patienceNs is how long a node that says it has the log is relied upon, while nothing comes of it.
	patienceNs = 10_000_000_000
)

// refused notes that a node does not keep the log from a position on.
func (b *behind) refused(from wire.Position, nowNs int64) {
	if !b.lately(nowNs) || b.from != from {
		b.sinceNs = nowNs
	}
	b.is, b.from, b.atNs = true, from, nowNs
}

// lately says whether that still counts.
func (b *behind) lately(nowNs int64) bool { return b.is && nowNs-b.atNs < behindNs }

// answer is what a node said that was asked what it offers.
type answer struct {
	server wire.NodeID
	Listing
}

// choice is a snapshot to be fetched, and from where.
type choice struct {
	server wire.NodeID
	m      snapshot.Manifest
}

// chooseInstall chooses the snapshot that takes the place of the log from a position on, which this node's log, up to end,
// lacks: the newest that is verified and goes beyond the end. None is installed while a node has the log itself, unless
// nothing has come of that for too long.
func chooseInstall(answers []answer, b *behind, end wire.Position, nowNs int64) (c choice, ok bool, why string) {
	for i := range answers {
		a := &answers[i]
		if a.Floor <= b.from && a.Commit > b.from && nowNs-b.sinceNs < patienceNs {
			return c, false, "another node has the log"
		}
	}
	if c, ok = newest(answers, end, everything); !ok {
		return c, false, "no node offers a verified snapshot beyond the end of this node's log"
	}
	return c, true, ""
}

// chooseNewer chooses a verified snapshot for a node that has applied and synced the log up to a position, and holds none
// newer than held.
func chooseNewer(answers []answer, held, until wire.Position) (c choice, ok bool) {
	return newest(answers, held, until)
}

// newest is the newest verified snapshot above one position and not above another.
func newest(answers []answer, above, until wire.Position) (c choice, ok bool) {
	for i := range answers {
		for _, o := range answers[i].Offers {
			if at := o.Manifest.Position(); (o.Verified || simbug.On(simbug.InstallUnverified)) && at > above && at <= until && at > c.m.Position() {
				c, ok = choice{answers[i].server, o.Manifest}, true
			}
		}
	}
	return c, ok
}

// believe leaves out nodes that have sent what proved to be spoilt, as long as another one has a verified snapshot, newer or
// older; else all of them are asked once more.
func believe(answers []answer, spoilt *[wire.MaxNodes + 1]wire.Position) {
	verified := func(o Offer) bool { return o.Verified }
	left := slices.ContainsFunc(answers, func(a answer) bool {
		return spoilt[a.server] == 0 && slices.ContainsFunc(a.Offers, verified)
	})
	if !left {
		*spoilt = [wire.MaxNodes + 1]wire.Position{}
	}
	for i := range answers {
		if spoilt[answers[i].server] != 0 {
			answers[i].Offers = nil
		}
	}
}

// sameElsewhere finds another node that offers the very same snapshot: snapshots of one state have the same bytes.
func sameElsewhere(answers []answer, c *choice) (server wire.NodeID, ok bool) {
	for i := range answers {
		for _, o := range answers[i].Offers {
			if answers[i].server != c.server && o.Manifest == c.m {
				return answers[i].server, true
			}
		}
	}
	return 0, false
}
