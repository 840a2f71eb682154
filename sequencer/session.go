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
	sessionClosed               // over, and known by no id any more: its last answers are to leave
)

// session is what the leader caches about one client.
type session struct {
	id     wire.SessionID
	token  uint64
	state  sessionState
	proven bool         // addr is the client's
	busy   bool         // BUSY was answered and its message has not come again yet
	why    wire.Refusal // what that BUSY said
	listed bool         // in Sequencer.dirty
	owing  bool         // in Sequencer.owed
	asking bool         // in Sequencer.asking
	timed  bool         // something packed has room for stages
	slot   int32
	window uint32
	addr   transport.Addr

	missing  place // where it lacks something, as was last found; if asking
	assembly int32 // 1 + the number of the assembly that it holds; 0: none

	// Its messages, by correlation: inherited <= applied <= committed < next.
	next      uint64    // to be sequenced next
	committed uint64    // last one whose record is committed
	applied   uint64    // last one that the service has processed
	inherited uint64    // last one that an earlier leader sequenced
	placed    uint64    // from here on entries knows the inherited ones by their places alone
	entries   []entry   // of the newest ones, a ring; none while there are none
	most      uint64    // that entries may grow to
	refused   []refused // of the inherited ones: those without effect, ascending

	// Its responses, by number: logged <= received <= responses.
	responses uint64 // last given out by the service
	received  uint64 // last the client has
	logged    uint64 // received as the log has it
	behindNs  int64  // since when the client has not acknowledged anything although it had something to

	kept keeping

	heardNs  int64 // when the client was last heard
	gapNs    int64 // when it was last asked to fill a gap
	busyNs   int64 // when it was last told BUSY
	replayNs int64 // when a replay was last asked for it
	rateNs   int64 // when it may send a whole burst of messages again
	owedNs   int64 // since when it is to be told what is committed

	out           []byte // ANSWERS being packed: room for headers, then answers up to staged; nil while there are none
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
	asked     uint32       // its stages were asked for: its number in the log's order, see asked; 0: they were not
}

// entry returns what is known of a message that was sequenced: nil when an earlier leader did that, or it is further
// back than any client may still ask.
func (x *session) entry(correlation uint64) *entry {
	if correlation <= x.inherited || correlation >= x.next || x.next-correlation > uint64(len(x.entries)) {
		return nil
	}
	return x.at(correlation)
}

// at is the place of a message in entries, which has a power of two of them.
func (x *session) at(correlation uint64) *entry {
	return &x.entries[correlation&uint64(len(x.entries)-1)]
}

// refused is a message that took no effect, and why.
type refused struct {
	correlation uint64
	code        wire.Refusal
}

// firstEntries is how many messages a session has room for at first, and what it may keep when it ends.
const firstEntries = 64

// mostEntries is how many a session needs at most: twice the window, as the client's may begin behind the committed
// end, and the service's lag behind it.
func mostEntries(window uint32) uint64 { return 1 << bits.Len32(2*window-1) }

// makeRoom has entries grow, if the place of the next message holds one that may still be asked for: the newest as far
// as the window goes, and what the service has not processed. Twice as large each time, so that a session takes the
// memory that it uses.
func (x *session) makeRoom() {
	n := uint64(len(x.entries))
	if n == 0 {
		x.grow(firstEntries)
		return
	}
	if n < x.most && x.next >= n+x.placed && (n < uint64(x.window) || x.next > x.applied+n) {
		x.grow(2 * n)
	}
}

// grow makes room for n messages, or as many as there may be; n is a power of two.
func (x *session) grow(n uint64) {
	old := *x
	x.entries = make([]entry, min(n, x.most))
	for c := x.next - min(x.next, uint64(len(old.entries))); c < x.next; c++ {
		*x.at(c) = *old.at(c)
	}
}

// place notes where an inherited message stands, if that is near enough for a client to ask.
func (x *session) place(e *service.Egress) {
	behind := x.next - e.Correlation
	if e.Correlation >= x.next || behind > x.most {
		return
	}
	if behind > uint64(len(x.entries)) {
		x.grow(max(firstEntries, uint64(1)<<bits.Len64(behind-1)))
	}
	x.placed = min(x.placed, e.Correlation)
	*x.at(e.Correlation) = entry{position: e.Position, sequence: e.Sequence, timestamp: e.Timestamp}
}

// inheritedEntry is what is known of an inherited message: why it took no effect, if it did not, and if it is one of the
// newest also where it stands.
func (x *session) inheritedEntry(correlation uint64) (e entry) {
	if correlation >= x.placed && x.next-correlation <= uint64(len(x.entries)) {
		e = *x.at(correlation)
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

// begin makes a free slot a session. Memory for its messages is taken when they come.
func (x *session) begin(id wire.SessionID, token uint64, window uint32) {
	window = max(1, min(window, maxWindow))
	kept := *x
	*x = session{
		id: id, token: token, window: window, next: 1, placed: 1, most: mostEntries(window),
		entries: kept.entries, refused: kept.refused, listed: kept.listed, owing: kept.owing, asking: kept.asking,
		slot:  kept.slot,
		gapNs: never, busyNs: never, replayNs: never,
	}
}

// leave makes a session's slot a free one, with no more memory than that may keep.
func (x *session) leave() {
	kept := *x
	*x = session{listed: kept.listed, owing: kept.owing, asking: kept.asking, slot: kept.slot}
	if len(kept.entries) <= firstEntries {
		x.entries = kept.entries
	}
	if cap(kept.refused) <= firstEntries {
		x.refused = kept.refused[:0]
	}
}

// never is a time long before any.
const never = -1 << 62

// table is the leader's sessions, in slots of a fixed number. Maps change only when a session begins or ends.
type table struct {
	slots   []session
	free    []int32
	byID    map[wire.SessionID]int32
	last    *session // found last by its id, and found still; nil: none. Messages of a session come together
	byToken map[uint64]int32
	rooms   [][]byte // for ANSWERS being packed: those that no session holds
}

// packing is how many sessions may have answers packed at once: beyond that, what is packed leaves early.
const packing = 1024

func newTable(sessions, maxPayload int) table {
	rooms := min(sessions, packing)
	t := table{
		slots:   make([]session, sessions),
		free:    make([]int32, 0, sessions),
		byID:    make(map[wire.SessionID]int32, sessions),
		byToken: make(map[uint64]int32, sessions),
		rooms:   make([][]byte, rooms),
	}
	memory := make([]byte, rooms*maxPayload)
	for i := range t.rooms {
		t.rooms[i], memory = memory[:maxPayload:maxPayload], memory[maxPayload:]
	}
	t.reset()
	return t
}

// unpack takes from a session what answers are packed for it.
func (t *table) unpack(x *session) {
	if x.out != nil {
		t.rooms = append(t.rooms, x.out)
	}
	x.out, x.staged, x.timed = nil, 0, false
}

// reset forgets every session.
func (t *table) reset() {
	clear(t.byID)
	t.last = nil
	clear(t.byToken)
	t.free = t.free[:0]
	for i := len(t.slots) - 1; i >= 0; i-- {
		x := &t.slots[i]
		t.unpack(x)
		x.leave()
		x.listed, x.owing, x.asking, x.slot = false, false, false, int32(i)
		t.free = append(t.free, int32(i))
	}
}

// find returns a session that is not over, or nil.
func (t *table) find(id wire.SessionID) *session {
	if t.last != nil && t.last.id == id {
		return t.last
	}
	if i, ok := t.byID[id]; ok {
		t.last = &t.slots[i]
		return t.last
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

// take returns a free slot's number; ok is false when there is none.
func (t *table) take() (slot int32, ok bool) {
	last := len(t.free) - 1
	if last < 0 {
		return 0, false
	}
	slot, t.free = t.free[last], t.free[:last]
	return slot, true
}

// begin puts a session into a slot that take returned.
func (t *table) begin(slot int32, id wire.SessionID, token uint64, window uint32) *session {
	x := &t.slots[slot]
	t.last = nil
	x.begin(id, token, window)
	t.byID[id] = slot
	t.byToken[token] = slot
	return x
}

// forget takes a session's names away: it is found no more.
func (t *table) forget(x *session) {
	t.last = nil
	if slot, ok := t.byID[x.id]; ok && slot == x.slot {
		delete(t.byID, x.id)
	}
	if slot, ok := t.byToken[x.token]; ok && slot == x.slot {
		delete(t.byToken, x.token)
	}
}

// release makes a slot free.
func (t *table) release(slot int32) {
	x := &t.slots[slot]
	t.forget(x)
	t.unpack(x)
	x.leave()
	t.free = append(t.free, slot)
}
