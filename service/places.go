package service

import "lockstep/wire"

// newestPlaces is of how many messages, of all sessions together, a driver remembers where they stand: a power of two.
// What clients send again to the next leader are the messages under way when the last one fell silent, and every one of
// these takes its time in the dump.
const newestPlaces = 1024

// place is where a message stands in the log.
type place struct {
	session     wire.SessionID
	correlation uint64
	sequence    uint64
	position    wire.Position
	timestamp   uint64
}

// places remembers the newest messages that this driver has applied. It is no part of the state: a driver that begins
// from a snapshot knows none.
type places struct {
	list  [newestPlaces]place
	count uint64 // of all there ever were
}

func (p *places) note(r *wire.Record) {
	*p.at(p.count) = place{r.Session, r.Correlation, r.Sequence, r.Position, r.Timestamp}
	p.count++
}

// first is the number, counted from 0, of the oldest that is remembered.
func (p *places) first() uint64 { return p.count - min(p.count, newestPlaces) }

func (p *places) at(n uint64) *place { return &p.list[n&(newestPlaces-1)] }

// sendPlaces writes the places of the dump that are left, of sessions that are open.
func (d *Driver) sendPlaces() bool {
	for ; d.place < d.places.count; d.place++ {
		x := d.places.at(d.place)
		if d.table.find(x.session) == nil {
			continue
		}
		b := d.claim(0)
		if b == nil {
			return false
		}
		head := Egress{Kind: EgressPlace, Term: d.term, Session: x.session, Correlation: x.correlation,
			Sequence: x.sequence, Position: x.position, Timestamp: x.timestamp}
		head.Put(b)
		d.commit()
	}
	return true
}
