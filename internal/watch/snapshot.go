package watch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"lockstep/wire"
)

// Layout, little-endian: count u32, then for each subscription, ascending by session, exact and key:
//
//	session u64 | exact u16 | length u16 | key
const headSize = 12

// ErrSnapshot says that a snapshot cannot be restored.
var ErrSnapshot = errors.New("watch: unusable snapshot")

// Snapshot writes all subscriptions, equal lists alike.
func (l *List) Snapshot(w io.Writer) error {
	le := binary.LittleEndian
	var h [headSize]byte
	le.PutUint32(h[:], uint32(len(l.items)))
	_, err := w.Write(h[:4])
	for i := 0; i < len(l.items) && err == nil; i++ {
		x := &l.items[i]
		le.PutUint64(h[0:], uint64(x.session))
		le.PutUint16(h[8:], 0)
		if x.exact {
			le.PutUint16(h[8:], 1)
		}
		le.PutUint16(h[10:], uint16(x.length))
		if _, err = w.Write(h[:]); err == nil {
			_, err = w.Write(x.key[:x.length])
		}
	}
	return err
}

// Restore replaces all subscriptions by what Snapshot wrote.
func (l *List) Restore(r io.Reader) error {
	l.Reset()
	le := binary.LittleEndian
	var h [headSize]byte
	if _, err := io.ReadFull(r, h[:4]); err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	count := le.Uint32(h[:])
	if count > uint32(cap(l.items)) {
		return fmt.Errorf("%w: %d subscriptions, of %d at most", ErrSnapshot, count, cap(l.items))
	}
	var key [MaxKey]byte
	for n := range count {
		if _, err := io.ReadFull(r, h[:]); err != nil {
			return fmt.Errorf("%w: subscription %d: %w", ErrSnapshot, n, err)
		}
		session, exact, length := wire.SessionID(le.Uint64(h[0:])), le.Uint16(h[8:]), le.Uint16(h[10:])
		if session == 0 || exact > 1 || length > MaxKey {
			return fmt.Errorf("%w: subscription %d: session %d, exact %d, %d bytes", ErrSnapshot, n, session, exact, length)
		}
		if _, err := io.ReadFull(r, key[:length]); err != nil {
			return fmt.Errorf("%w: subscription %d: %w", ErrSnapshot, n, err)
		}
		w := Watch{Session: session, Exact: exact == 1, Key: key[:length]}
		if at, there := l.place(&w); there || at != len(l.items) {
			return fmt.Errorf("%w: subscription %d is not above the one before", ErrSnapshot, n)
		}
		l.Add(w)
	}
	return nil
}
