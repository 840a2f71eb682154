package ringbuf

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"
)

// LogRing is the window of the log that is held in memory: one thread writes it, any number read it. The writer is
// held back by the slowest gate; readers without a gate copy what is still there.
//
//	   floor                gates            append          limit = slowest gate + size
//	-----|====================|=================|................|----->  position
//	lost | held, for any reader                 | writer's own   | may not be written yet
//	                                              (reorder window)
type LogRing struct {
	mem  []byte // twice the size
	size uint64
	mask uint64
	gate []gate
	// shadow is there when the halves are not the same pages: what both halves held when they were last made
	// equal, which tells which of them the writer has written to since.
	shadow []byte
	// guarded has Copy and Prepare exclude each other by a lock, where memory order alone does not do.
	guarded bool
	guard   sync.Mutex
	_       [pad]byte

	// The writer's own.
	written   uint64 // what append stands at
	held      uint64 // what floor stands at
	seenLimit uint64
	_         [pad - 24]byte

	append Cursor // published by the writer: bytes before it may be read
	floor  Cursor // published by the writer: bytes before it may be gone
}

// gate is a reader that the writer waits for.
type gate struct {
	name   string
	cursor *Cursor
}

// NewLogRing makes a ring of the given number of bytes (a power of two) in mem, which must be twice as long.
// mirrored says that the two halves are the same pages (MapLog); otherwise, with memory from the Go heap, the ring
// keeps them equal by copying, which is slow and meant for tests and the race detector.
func NewLogRing(mem []byte, bytes int, mirrored bool) *LogRing {
	if !powerOfTwo(bytes) || len(mem) != 2*bytes {
		panic(fmt.Sprintf("ringbuf: a log ring of %d bytes in %d bytes of memory: want a power of two, and twice it",
			bytes, len(mem)))
	}
	r := &LogRing{mem: mem, size: uint64(bytes), mask: uint64(bytes - 1)}
	r.guarded = !mirrored || runtime.GOARCH != "amd64"
	if !mirrored {
		r.shadow = make([]byte, bytes)
		r.mirror(0, r.size)
	}
	r.seenLimit = r.size
	return r
}

// Gate registers a reader that the writer is to wait for, and returns its cursor: the position before which the
// reader needs nothing any more. Before Start.
func (r *LogRing) Gate(name string) *Cursor {
	c := new(Cursor)
	r.gate = append(r.gate, gate{name, c})
	return c
}

// Start sets where the log stands: bytes in [floor, append) are in the ring (written before through View), and
// every gate begins at append. Before any reader runs.
func (r *LogRing) Start(floor, append uint64) {
	if floor > append || append-floor > r.size {
		panic(fmt.Sprintf("ringbuf: a log ring of %d bytes cannot start holding [%d, %d)", r.size, floor, append))
	}
	if r.shadow != nil {
		r.mirror(floor, append)
	}
	for _, g := range r.gate {
		g.cursor.Store(append)
	}
	r.written, r.held = append, floor
	r.seenLimit = append + r.size
	r.floor.Store(floor)
	r.append.Store(append)
}

// Size is the number of bytes that the ring holds. Any thread.
func (r *LogRing) Size() uint64 { return r.size }

// View returns the bytes [from, until) of the log as one slice. It panics if that is more than the ring holds;
// whether the bytes are there to be read or free to be written is the caller's to know. Any thread.
func (r *LogRing) View(from, until uint64) []byte {
	n := until - from
	if n > r.size {
		panic(fmt.Sprintf("ringbuf: a view of [%d, %d) of a log ring of %d bytes", from, until, r.size))
	}
	at := from & r.mask
	return r.mem[at : at+n : at+n]
}

// Limit returns the position up to which the writer may write now: the slowest gate and the ring's size beyond it.
// Writer only.
func (r *LogRing) Limit() uint64 {
	slowest := r.written
	for i := range r.gate {
		slowest = min(slowest, r.gate[i].cursor.Load())
	}
	r.seenLimit = slowest + r.size
	return r.seenLimit
}

// Fits says whether the writer may write up to until. It looks at the gates only when what it last saw of them
// does not do. Writer only.
func (r *LogRing) Fits(until uint64) bool { return until <= r.seenLimit || until <= r.Limit() }

// SlowestGate names the gate that holds the writer back most, and where it stands. Cold. Writer only.
func (r *LogRing) SlowestGate() (name string, position uint64) {
	position = r.written
	for _, g := range r.gate {
		if at := g.cursor.Load(); name == "" || at < position {
			name, position = g.name, at
		}
	}
	return name, position
}

// Prepare makes the bytes up to until writable: it publishes the floor that rises with it, before they are
// overwritten. It must come before writing up to until, and panics beyond Limit. Writer only.
func (r *LogRing) Prepare(until uint64) {
	if until <= r.held+r.size {
		return
	}
	if !r.Fits(until) {
		name, at := r.SlowestGate()
		panic(fmt.Sprintf("ringbuf: writing up to %d would overwrite what gate %q at %d still needs", until, name, at))
	}
	r.held = until - r.size
	if r.guarded {
		r.guard.Lock()
		r.floor.Store(r.held)
		r.guard.Unlock()
		return
	}
	r.floor.Store(r.held)
}

// Mirror makes bytes that were written beyond append readable through every other View of them. On mapped memory
// there is nothing to do; a writer that stores out of order calls it after each piece, whatever the memory.
// (Publish does it for what it publishes.) Writer only.
func (r *LogRing) Mirror(from, until uint64) {
	if r.shadow != nil {
		r.mirror(from, until)
	}
}

// Publish shows the readers everything before append, which must not go back and must have been prepared. Once a
// batch. Writer only.
func (r *LogRing) Publish(append uint64) {
	if append < r.written || append > r.held+r.size {
		panic(fmt.Sprintf("ringbuf: publishing %d after %d, with %d prepared", append, r.written, r.held+r.size))
	}
	if r.shadow != nil {
		r.mirror(r.written, append)
	}
	r.written = append
	r.append.Store(append)
}

// Reset takes the log back to at: append, and every gate that is beyond it. Only under the cut handshake, when no
// gated reader runs, and no reader is beyond at. Cold. Writer only.
func (r *LogRing) Reset(at uint64) {
	if at > r.written {
		panic(fmt.Sprintf("ringbuf: cutting a log that ends at %d at %d", r.written, at))
	}
	if r.shadow != nil {
		r.mirror(at, max(at, r.held+r.size)) // what was stored beyond append is not to show later
	}
	r.written = at
	r.append.Store(at)
	for _, g := range r.gate {
		if g.cursor.Load() > at {
			g.cursor.Store(at)
		}
	}
	if r.held > at { // everything below the cut had left the ring: nothing is held
		r.guard.Lock()
		r.held = at
		r.floor.Store(at)
		r.guard.Unlock()
	}
	r.Limit()
}

// Append returns the end of the log as published. Any thread.
func (r *LogRing) Append() uint64 { return r.append.Load() }

// Floor returns the lowest position that the ring still holds. It is published before anything below it is
// overwritten. Any thread.
func (r *LogRing) Floor() uint64 { return r.floor.Load() }

// Copy fills dst with the bytes of the log from the position given, and says whether they were all in the ring and
// none was overwritten meanwhile. For readers without a gate: what false left in dst is not to be used. Any thread.
func (r *LogRing) Copy(dst []byte, from uint64) bool {
	until := from + uint64(len(dst))
	if r.guarded {
		return r.copyGuarded(dst, from, until)
	}
	if from < r.floor.Load() || until > r.append.Load() {
		return false
	}
	copy(dst, r.View(from, until))
	return from >= r.floor.Load()
}

func (r *LogRing) copyGuarded(dst []byte, from, until uint64) bool {
	r.guard.Lock()
	held := from >= r.floor.Load() && until <= r.append.Load()
	if held {
		copy(dst, r.View(from, until))
	}
	r.guard.Unlock()
	return held
}

// mirror makes the halves equal over [from, until): of each piece that differs, the half that is not what the
// shadow remembers was written to.
func (r *LogRing) mirror(from, until uint64) {
	const piece = 64
	for from < until {
		at := from & r.mask
		n := min(piece, until-from, r.size-at)
		low, high, old := r.mem[at:at+n], r.mem[at+r.size:at+r.size+n], r.shadow[at:at+n]
		switch {
		case bytes.Equal(low, high):
		case bytes.Equal(low, old):
			copy(low, high)
		case bytes.Equal(high, old):
			copy(high, low)
		default:
			mergeHalves(low, high, old)
		}
		copy(old, low)
		from += n
	}
}

func mergeHalves(low, high, old []byte) {
	for i := range old {
		if low[i] == old[i] {
			low[i] = high[i]
		} else {
			high[i] = low[i]
		}
	}
}
