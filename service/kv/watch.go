package kv

import (
	"bytes"
	"cmp"

	"lockstep/service"
	"lockstep/wire"
)

// watch is a prefix of which a session hears.
type watch struct {
	session wire.SessionID
	length  int
	prefix  [MaxKey]byte
}

func (w *watch) key() []byte { return w.prefix[:w.length] }

// hash is the watch's share in the hash of the store.
func (w *watch) hash() uint64 {
	return service.MixBytes(service.Mix(2, uint64(w.session)), w.key())
}

// place is where the watch of a session on a prefix is, or belongs.
func (s *Store) place(session wire.SessionID, prefix []byte) (at int, there bool) {
	low, high := 0, len(s.watches)
	for low < high {
		middle := (low + high) / 2
		w := &s.watches[middle]
		if cmp.Or(cmp.Compare(w.session, session), bytes.Compare(w.key(), prefix)) < 0 {
			low = middle + 1
		} else {
			high = middle
		}
	}
	there = low < len(s.watches) && s.watches[low].session == session && bytes.Equal(s.watches[low].key(), prefix)
	return low, there
}

// watch begins or ends a watch.
func (s *Store) watch(session wire.SessionID, prefix []byte, on bool) {
	at, there := s.place(session, prefix)
	switch {
	case on && !there:
		s.watches = append(s.watches, watch{})
		copy(s.watches[at+1:], s.watches[at:])
		w := &s.watches[at]
		w.session, w.length = session, copy(w.prefix[:], prefix)
		s.sum += w.hash()
	case !on && there:
		s.unwatch(at, at+1)
	}
}

// unwatch ends the watches in a part of the list.
func (s *Store) unwatch(from, to int) {
	for i := from; i < to; i++ {
		s.sum -= s.watches[i].hash()
	}
	s.watches = append(s.watches[:from], s.watches[to:]...)
}

// forget ends the watches of a session.
func (s *Store) forget(session wire.SessionID) {
	from, _ := s.place(session, nil)
	to := from
	for to < len(s.watches) && s.watches[to].session == session {
		to++
	}
	s.unwatch(from, to)
}

// watcher is the first place from at on whose watch is on a key, and is not one more of the session before.
func (s *Store) watcher(at int, key []byte, before wire.SessionID) int {
	for ; at < len(s.watches); at++ {
		if w := &s.watches[at]; w.session != before && bytes.HasPrefix(key, w.key()) {
			break
		}
	}
	return at
}

// tell tells all who watch of a change, each session once. Sessions have numbers from 1.
func (s *Store) tell(ctx *service.Context, e *Entry, deleted bool) {
	ctx.Count(len(s.watches))
	watching := 0
	for at, before := 0, wire.SessionID(0); ; watching++ {
		if at = s.watcher(at, e.Key, before); at == len(s.watches) {
			break
		}
		before = s.watches[at].session
	}
	if watching == 0 {
		return
	}
	leftOut := !deleted && watching*(len(e.Key)+len(e.Value)+entryBytes) > maxEventBytes
	event := encodeChanged(s.builder, e, deleted, leftOut)
	for at, before := 0, wire.SessionID(0); ; {
		if at = s.watcher(at, e.Key, before); at == len(s.watches) {
			break
		}
		before = s.watches[at].session
		ctx.Respond(before, event)
	}
}
