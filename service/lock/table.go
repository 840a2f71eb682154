package lock

import (
	"encoding/binary"
	"errors"
	"fmt"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/internal/blocks"
	"lockstep/internal/btree"
	"lockstep/internal/watch"
	"lockstep/service"
	"lockstep/wire"
)

// Limits on what one request may say.
const (
	// MaxName is the longest name, in bytes.
	MaxName = watch.MaxKey
	// MaxValue is the longest value, in bytes.
	MaxValue = 1 << 10
	// MaxTimeMs is the longest time to live, and the longest wait: 30 days.
	MaxTimeMs = 30 * 24 * 3600 * 1000
)

const (
	maxListBytes  = 40 << 10 // a response lists no more once it has so many bytes
	maxListed     = 512      // in one response
	maxEventBytes = 96 << 10 // of the events of one change, if they are to have the value; a record ends holds until then
	holdBytes     = 96       // what a hold takes besides name and value, in messages
)

// Options are the limits of a table. They change what is answered, so they must be the same on every node. Zero fields
// take the default.
type Options struct {
	MaxHolds         int // locks held, announcements and waiting sessions, all together; default 65536, at most 2^20
	MaxSession       int // of these, of one session; default 1024
	MaxWaiting       int // for one lock; default 256
	MaxAnnounced     int // under one name; default 1024
	MaxSubscriptions int // of all sessions together; default 256, which is the most
}

// ErrOptions says that the options cannot work.
var ErrOptions = errors.New("lock: unusable options")

func (o *Options) defaults() error {
	for _, x := range []struct {
		value         *int
		otherwise, at int
		what          string
	}{
		{&o.MaxHolds, 1 << 16, 1 << indexBits, "holds"},
		{&o.MaxSession, 1024, 4096, "holds of a session"},
		{&o.MaxWaiting, 256, 4096, "sessions that wait for a lock"},
		{&o.MaxAnnounced, 1024, 4096, "announcements under a name"},
		{&o.MaxSubscriptions, 256, 256, "subscriptions"},
	} {
		if *x.value == 0 {
			*x.value = x.otherwise
		}
		if *x.value < 1 || *x.value > x.at {
			return fmt.Errorf("%w: %d %s: must be 1 .. %d", ErrOptions, *x.value, x.what, x.at)
		}
	}
	return nil
}

// kind is what a hold is.
type kind uint8

const (
	holder kind = 1 + iota
	waiter
	announcement
)

// hold is a lock that is held, an announcement, or a session that waits.
type hold struct {
	kind    kind
	keep    bool           // outlives the session
	ended   bool           // its session has ended: it is only still to be released
	lock    uint32         // whose it is
	number  uint64         // from 1, in the order in which they came about
	token   uint64         // of who waits: the number of the record by which it does
	session wire.SessionID // that asked
	ttl     uint64         // ns; 0: for ever
	expires uint64         // ns since the Unix epoch; 0: never. Of who waits: when it gives up
	value   []byte
	hash    uint64
	next    [3]uint32 // by list
	prev    [3]uint32
}

// The lists that a hold stands in.
const (
	ofAll     = iota // in order of numbers
	ofLock           // those who wait, or announcements: in order of numbers
	ofSession        // not of what is kept, nor of what has ended
)

// list is a list of holds, by their place in the table; 0: none.
type list struct {
	head, tail uint32
	count      int
}

// lock is a name, as long as anything stands under it.
type lock struct {
	name      []byte
	holder    uint32
	waiting   list
	announced list
}

// owner is a session with holds.
type owner struct {
	session [8]byte // big-endian: a key
	holds   list
}

// Table is the lock service.
type Table struct {
	options   Options
	holds     []hold // [0] is not used, as of the others
	locks     []lock
	owners    []owner
	freeHold  []uint32
	freeLock  []uint32
	freeOwner []uint32
	all       list
	names     *btree.Tree
	sessions  *btree.Tree
	deadlines *service.Deadlines
	watches   *watch.List
	blocks    blocks.Pool
	numbers   uint64 // last number given out
	sum       uint64 // of the hashes of all holds
	spent     int    // bytes that the record has caused, or as many as the work is taken for

	request Request
	list    []flatbuffers.UOffsetT
	builder *flatbuffers.Builder
}

// indexBits is how many bits of a deadline's id are the place of its hold; the rest is its number, which is what
// orders holds that run out at the same time.
const indexBits = 20

// New returns an empty table.
func New(o Options) (*Table, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	t := &Table{options: o, list: make([]flatbuffers.UOffsetT, 0, maxListed), builder: flatbuffers.NewBuilder(1024)}
	t.blocks.Keep = 16 << 20
	t.names = btree.New(func(id uint32) []byte { return t.locks[id].name })
	t.sessions = btree.New(func(id uint32) []byte { return t.owners[id].session[:] })
	t.deadlines = service.NewDeadlines(0, o.MaxHolds, 1<<10)
	t.watches = watch.New(o.MaxSubscriptions)
	t.clear()
	return t, nil
}

func (t *Table) clear() {
	clear(t.holds) // nothing of what was is to be kept
	clear(t.locks)
	t.holds, t.locks, t.owners = append(t.holds[:0], hold{}), append(t.locks[:0], lock{}), append(t.owners[:0], owner{})
	t.freeHold, t.freeLock, t.freeOwner = t.freeHold[:0], t.freeLock[:0], t.freeOwner[:0]
	t.all = list{}
	t.names.Reset()
	t.sessions.Reset()
	t.deadlines.Reset()
	t.watches.Reset()
	t.numbers, t.sum = 0, 0
}

// Len is how many holds there are. Driver's thread.
func (t *Table) Len() int { return t.all.count }

// find returns the lock of a name, or nil. It is good until the next one is made.
func (t *Table) find(name []byte) *lock {
	id, ok := t.names.Get(name)
	if !ok {
		return nil
	}
	return &t.locks[id]
}

// take returns a free place of an array, longer by one if there is none.
func take[T any](array *[]T, free *[]uint32) uint32 {
	if last := len(*free) - 1; last >= 0 {
		i := (*free)[last]
		*free = (*free)[:last]
		return i
	}
	var zero T
	*array = append(*array, zero)
	return uint32(len(*array) - 1)
}

// lockOf returns the place of a name's lock, made if it is not there.
func (t *Table) lockOf(name []byte) uint32 {
	id, ok := t.names.Get(name)
	if !ok {
		id = take(&t.locks, &t.freeLock)
		l := &t.locks[id]
		l.name = t.blocks.Take(len(name))
		copy(l.name, name)
		t.names.Insert(id)
	}
	return id
}

// add takes a hold in: it has kind, lock, number, token, session and the rest, but its value is copied and it stands
// in no list. Without a context it has its deadline from a snapshot.
func (t *Table) add(ctx *service.Context, x hold, value []byte) uint32 {
	i := take(&t.holds, &t.freeHold)
	x.value = t.blocks.Take(len(value))
	copy(x.value, value)
	h := &t.holds[i]
	*h = x
	t.push(&t.all, ofAll, i)
	l := &t.locks[x.lock]
	switch x.kind {
	case holder:
		l.holder = i
	case waiter:
		t.push(&l.waiting, ofLock, i)
	case announcement:
		t.push(&l.announced, ofLock, i)
	}
	if !x.keep && !x.ended || x.kind == waiter {
		t.push(t.own(x.session), ofSession, i)
	}
	switch id := deadlineOf(h, i); {
	case x.expires == 0:
	case ctx == nil:
		t.deadlines.Put(id, x.expires)
	default:
		t.deadlines.Set(ctx, id, x.expires)
	}
	t.rehash(h)
	return i
}

// remove takes a hold out, of its lists and the deadlines too, and its lock with the last one.
func (t *Table) remove(ctx *service.Context, i uint32) {
	h := &t.holds[i]
	id := h.lock
	l := &t.locks[id]
	switch h.kind {
	case holder:
		l.holder = 0
	case waiter:
		t.pull(&l.waiting, ofLock, i)
	case announcement:
		t.pull(&l.announced, ofLock, i)
	}
	t.disown(i)
	t.pull(&t.all, ofAll, i)
	t.deadlines.Cancel(ctx, deadlineOf(h, i))
	t.sum -= h.hash
	t.blocks.Give(h.value)
	*h = hold{}
	t.freeHold = append(t.freeHold, i)
	if l.holder == 0 && l.waiting.count == 0 && l.announced.count == 0 {
		t.names.Delete(l.name)
		t.blocks.Give(l.name)
		*l = lock{}
		t.freeLock = append(t.freeLock, id)
	}
}

// deadlineOf is the id that a hold has among the deadlines.
func deadlineOf(h *hold, i uint32) uint64 { return h.number<<indexBits | uint64(i) }

// expire has a hold run out at a time; 0: never.
func (t *Table) expire(ctx *service.Context, i uint32, at uint64) {
	h := &t.holds[i]
	h.expires = at
	if at == 0 {
		t.deadlines.Cancel(ctx, deadlineOf(h, i))
		return
	}
	t.deadlines.Set(ctx, deadlineOf(h, i), at) // there is room for every hold
}

// rehash keeps the sum up after a hold has changed.
func (t *Table) rehash(h *hold) {
	t.sum -= h.hash
	flags := uint64(h.kind)
	if h.keep {
		flags |= 1 << 8
	}
	if h.ended {
		flags |= 1 << 9
	}
	x := service.Mix(service.Mix(service.Mix(1, flags), h.number), h.token)
	x = service.Mix(service.Mix(service.Mix(x, uint64(h.session)), h.ttl), h.expires)
	h.hash = service.MixBytes(service.MixBytes(x, t.locks[h.lock].name), h.value)
	t.sum += h.hash
}

// own returns the list of a session's holds, made if it is not there.
func (t *Table) own(session wire.SessionID) *list {
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], uint64(session))
	id, ok := t.sessions.Get(key[:])
	if !ok {
		id = take(&t.owners, &t.freeOwner)
		t.owners[id] = owner{session: key}
		t.sessions.Insert(id)
	}
	return &t.owners[id].holds
}

// owned is the list of a session's holds, nil if it has none.
func (t *Table) owned(session wire.SessionID) *list {
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], uint64(session))
	id, ok := t.sessions.Get(key[:])
	if !ok {
		return nil
	}
	return &t.owners[id].holds
}

// disown takes a hold out of its session's list, if it stands there.
func (t *Table) disown(i uint32) {
	h := &t.holds[i]
	if h.ended || h.keep && h.kind != waiter {
		return
	}
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], uint64(h.session))
	id, _ := t.sessions.Get(key[:])
	o := &t.owners[id]
	t.pull(&o.holds, ofSession, i)
	if o.holds.count == 0 {
		t.sessions.Delete(key[:])
		t.freeOwner = append(t.freeOwner, id)
	}
}

// push puts a hold at the end of a list.
func (t *Table) push(l *list, which int, i uint32) {
	h := &t.holds[i]
	h.prev[which], h.next[which] = l.tail, 0
	if l.tail != 0 {
		t.holds[l.tail].next[which] = i
	} else {
		l.head = i
	}
	l.tail = i
	l.count++
}

// pull takes a hold out of a list.
func (t *Table) pull(l *list, which int, i uint32) {
	h := &t.holds[i]
	if h.prev[which] != 0 {
		t.holds[h.prev[which]].next[which] = h.next[which]
	} else {
		l.head = h.next[which]
	}
	if h.next[which] != 0 {
		t.holds[h.next[which]].prev[which] = h.prev[which]
	} else {
		l.tail = h.prev[which]
	}
	h.prev[which], h.next[which] = 0, 0
	l.count--
}
