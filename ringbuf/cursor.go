package ringbuf

import "sync/atomic"

// pad is the distance between words that different threads write: processors fetch cache lines of 64 bytes in
// pairs, so that less than 128 bytes apart they would still disturb each other.
const pad = 128

// Cursor is a position that one thread writes and others read. It fills 128 bytes. Cursors belong on the Go heap
// and must not be copied.
type Cursor struct {
	value atomic.Uint64
	_     [pad - 8]byte
}

// Load returns the position and makes everything visible that its writer wrote before storing it (acquire).
// Any thread.

func (c *Cursor) Load() uint64 { return c.value.Load() }

// Store publishes a position, and with it everything written before (release, and a full fence after). Only the
// thread that owns the cursor.

func (c *Cursor) Store(position uint64) { c.value.Store(position) }
