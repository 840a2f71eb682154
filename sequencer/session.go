package sequencer

import (
	"cmp"
	"math/bits"
	"slices"

	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

// sessionState is where a session of the leader's table stands.
//
//	free --PROVE--> opening --EgressOpened--> open --DISCONNECT, silence--> closing --EgressClosed--> closed --> free
//	  '-------------------EgressSession--------^  '-----------------EgressClosed---------------------^
type sessionState uint8

const (
	sessionFree    sessionState = iota
	sessionOpening              // its session-open record is appended, not yet applied
	sessionOpen                 // messages are taken
	sessionClosing              // its session-close record is appended, not yet applied
	sessionClosed               // over; kept for a while to say how it ended
)

// session is what the leader caches about one client.
type session struct {
	id     wire.SessionID
	token  uint64
	state  sessionState
	proven bool // addr is the client's
	busy   bool // BUSY was answered and its message has not come again yet
	listed bool // in Sequencer.dirty
	owing  bool // in Sequencer.owed
	slot   int32
	code   wire.Refusal
	window uint32
	addr   transport.Addr

	// Its messages, by correlation: inherited <= applied <= committed < next.
	next      uint64 // to be sequenced next
	committed uint64 // last one whose record is committed
	applied   uint64 // last one that the service has processed
	inherited uint64 // last one that an earlier leader sequenced
	placed    uint64 // from here on entries knows the inherited ones by their places alone
	entries   []entry
	mask      uint64
	refused   []refused // of the inherited ones: those without effect, ascending

	// Its responses, by number: logged <= received <= responses.
	responses uint64 // last given out by the service
	received  uint64 // last the client has
	logged    uint64 // received as the log has it

	heardNs  int64 // when the client was last heard
	gapNs    int64 // when it was last asked to fill a gap
	busyNs   int64 // when it was last told BUSY
	replayNs int64 // when a replay was last asked for it
	owedNs   int64 // since when it is to be told what is committed
	closedNs int64

	out           []byte // ANSWERS being packed: room for headers, then answers up to staged
	staged        int    // 0: nothing
	toldCommitted uint64 // committed as last sent
}

// entry is what is remembered of a message, to acknowledge it and to answer its repeats.
type entry struct {
	position  wire.Position // of its record
	end       wire.Position
	sequence  uint64
	timestamp uint64
	levels    wire.Levels  // asked for
	silent    bool         // applied, without a response
	code      wire.Refusal // refused for good, or voided
}

// entry returns what is known of a message that was sequenced: nil when an earlier leader did that, or it is further
// back than any client may still ask.
func (x *session) entry(correlation uint64) *entry {
	if correlation <= x.inherited || correlation >= x.next || x.next-correlation > x.mask+1 {
		return nil
	}
	return &x.entries[correlation&x.mask]
}

// refused is a message that took no effect, and why.
type refused struct {
	correlation uint64
	code        wire.Refusal
}

// place notes where an inherited message stands.
func (x *session) place(e *service.Egress) {
	x.placed = min(x.placed, e.Correlation)
	x.entries[e.Correlation&x.mask] = entry{position: e.Position, sequence: e.Sequence, timestamp: e.Timestamp}
}

// inheritedEntry is what is known of an inherited message: why it took no effect, if it did not, and if it is one of the
// newest also where it stands.
func (x *session) inheritedEntry(correlation uint64) (e entry) {
	if correlation >= x.placed && x.next-correlation <= x.mask+1 {
		e = x.entries[correlation&x.mask]
	}
	e.code = x.inheritedCode(correlation)
	return e
}

// inheritedCode is why an inherited message took no effect; RefusalNone when it took effect.
func (x *session) inheritedCode(correlation uint64) wire.Refusal {
	i, found := slices.BinarySearchFunc(x.refused, correlation,
		func(r refused, c uint64) int { return cmp.Compare(r.correlation, c) })
	if !found {
		return wire.RefusalNone
	}
	return x.refused[i].code
}

// begin makes a free slot a session. Memory is allocated only if what an earlier session left does not do.
func (x *session) begin(id wire.SessionID, token uint64, window uint32, maxPayload int) {
	window = max(1, min(window, maxWindow))
	// Twice the window: the client's may begin behind the committed end, the service's lag behind it.
	n := 1 << bits.Len32(2*window-1)
	entries, out := x.entries, x.out
	if len(entries) < n {
		entries = make([]entry, n)
	}
	if out == nil {
		out = make([]byte, maxPayload)
	}
	*x = session{
		id: id, token: token, window: window, next: 1,
		entries: entries, mask: uint64(len(entries) - 1), out: out, refused: x.refused[:0],
		listed: x.listed, owing: x.owing, slot: x.slot,
		gapNs: never, busyNs: never, replayNs: never,
	}
}

// never is a time long before any.
const never = -1 << 62

// table is the leader's sessions, in slots of a fixed number. Maps change only when a session begins or ends.
type table struct {
	slots   []session
	free    []int32
	byID    map[wire.SessionID]int32
	byToken map[uint64]int32
}

func newTable(sessions int) table {
	t := table{
		slots:   make([]session, sessions),
		free:    make([]int32, 0, sessions),
		byID:    make(map[wire.SessionID]int32, sessions),
		byToken: make(map[uint64]int32, sessions),
	}
	t.reset()
	return t
}

// reset forgets every session and keeps the memory.
func (t *table) reset() {
	clear(t.byID)
	clear(t.byToken)
	t.free = t.free[:0]
	for i := len(t.slots) - 1; i >= 0; i-- {
		x := &t.slots[i]
		*x = session{entries: x.entries, out: x.out, refused: x.refused[:0], slot: int32(i)}
		t.free = append(t.free, int32(i))
	}
}

// find returns a session in any state but free, or nil.
func (t *table) find(id wire.SessionID) *session {
	if i, ok := t.byID[id]; ok {
		return &t.slots[i]
	}
	return nil
}

// findToken returns the session that a client with this token has, or nil.
func (t *table) findToken(token uint64) *session {
	if i, ok := t.byToken[token]; ok {
		return &t.slots[i]
	}
	return nil
}

// take returns a free slot's number, giving up the memory of the session closed longest ago if there is no other;
// ok is false when every slot has a session that is not closed. Cold.
func (t *table) take() (slot int32, ok bool) {
	if len(t.free) == 0 {
		oldest := int32(-1)
		for i := range t.slots {
			x := &t.slots[i]
			if x.state == sessionClosed && (oldest < 0 || x.closedNs < t.slots[oldest].closedNs) {
				oldest = int32(i)
			}
		}
		if oldest < 0 {
			return 0, false
		}
		t.release(oldest)
	}
	slot = t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	return slot, true
}

// begin puts a session into a slot that take returned.
func (t *table) begin(slot int32, id wire.SessionID, token uint64, window uint32, maxPayload int) *session {
	x := &t.slots[slot]
	x.begin(id, token, window, maxPayload)
	t.byID[id] = slot
	t.byToken[token] = slot
	return x
}

// release makes a slot free.
func (t *table) release(slot int32) {
	x := &t.slots[slot]
	delete(t.byID, x.id)
	if t.byToken[x.token] == slot {
		delete(t.byToken, x.token)
	}
	*x = session{entries: x.entries, out: x.out, refused: x.refused[:0], listed: x.listed, owing: x.owing, slot: slot}
	t.free = append(t.free, slot)
}
