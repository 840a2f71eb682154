package orderbook

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"lockstep/service"
	"lockstep/wire"
	"lockstep/wire/fb"
)

// Layout of a snapshot, little-endian. The order of the orders is fixed (instrument, then bids from the lowest price
// up, then asks likewise, each price oldest first), so that equal books give equal bytes.
//
//	magic u64 | instruments u32 | max fills u32 | price limit u64 | max quantity u64 | max orders u64
//	orders u64 | executions u64 | count u64
//	count times: session u64 | client order u64 | number u64 | left u64 | price u32 | instrument u32 | side u64
//	hash u64 (of the book, as Hash has it)
const (
	snapshotMagic  = 0x31303030_4b4f4f42 // "BOOK0001"
	snapshotHeader = 64
	snapshotOrder  = 48
)

// ErrSnapshot says that a snapshot cannot be restored.
var ErrSnapshot = errors.New("orderbook: unusable snapshot")

func (b *Book) snapshotHead() (h [snapshotHeader]byte) {
	le, o := binary.LittleEndian, &b.options
	le.PutUint64(h[0:], snapshotMagic)
	le.PutUint32(h[8:], o.Instruments)
	le.PutUint32(h[12:], uint32(o.MaxFills))
	le.PutUint64(h[16:], o.PriceLimit)
	le.PutUint64(h[24:], o.MaxQuantity)
	le.PutUint64(h[32:], uint64(o.MaxOrders))
	le.PutUint64(h[40:], b.orders)
	le.PutUint64(h[48:], b.executions)
	le.PutUint64(h[56:], uint64(b.pool.used))
	return h
}

// Snapshot implements service.Service.
func (b *Book) Snapshot(w io.Writer) error {
	out := bufio.NewWriterSize(w, 64<<10)
	head := b.snapshotHead()
	_, err := out.Write(head[:])
	for i := 1; i < len(b.instruments) && err == nil; i++ {
		in := &b.instruments[i]
		if err = b.snapshotSide(out, in, &in.bids); err == nil {
			err = b.snapshotSide(out, in, &in.asks)
		}
	}
	var tail [8]byte
	binary.LittleEndian.PutUint64(tail[:], b.Hash())
	out.Write(tail[:])
	if err := out.Flush(); err != nil { // bufio keeps the first error
		return fmt.Errorf("orderbook: snapshot: %w", err)
	}
	return nil
}

func (b *Book) snapshotSide(out *bufio.Writer, in *instrument, side *prices) error {
	var e [snapshotOrder]byte
	le := binary.LittleEndian
	for price, ok := side.lowest(); ok; price, ok = side.after(price) {
		for i := in.levels[price].head; i != 0; i = b.pool.orders[i].next {
			o := &b.pool.orders[i]
			le.PutUint64(e[0:], uint64(o.session))
			le.PutUint64(e[8:], o.clientOrder)
			le.PutUint64(e[16:], o.number)
			le.PutUint64(e[24:], o.left)
			le.PutUint32(e[32:], o.price)
			le.PutUint32(e[36:], o.instrument)
			le.PutUint64(e[40:], uint64(o.side))
			if _, err := out.Write(e[:]); err != nil {
				return err
			}
		}
	}
	return nil
}

// Restore implements service.Service. A snapshot of a book with other options, or whose hash does not come out, is
// refused with ErrSnapshot.
func (b *Book) Restore(r io.Reader) error {
	in := bufio.NewReaderSize(r, 64<<10)
	b.clear()
	var head [snapshotHeader]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return fmt.Errorf("%w: its header: %w", ErrSnapshot, err)
	}
	le := binary.LittleEndian
	switch own := b.snapshotHead(); {
	case string(own[:8]) != string(head[:8]):
		return fmt.Errorf("%w: it does not begin as one", ErrSnapshot)
	case string(own[:40]) != string(head[:40]):
		return fmt.Errorf("%w: %w: it is not one of a book with these options (%+v)", ErrSnapshot, service.ErrUnsuited, b.options)
	}
	orders, executions, count := le.Uint64(head[40:]), le.Uint64(head[48:]), le.Uint64(head[56:])
	if count > uint64(b.options.MaxOrders) {
		return fmt.Errorf("%w: %d orders in a book of %d", ErrSnapshot, count, b.options.MaxOrders)
	}
	for n := uint64(0); n < count; n++ {
		if err := b.restoreOrder(in, n, orders); err != nil {
			return err
		}
	}
	if err := b.checkUncrossed(); err != nil {
		return err
	}
	b.orders, b.executions = orders, executions
	var tail [8]byte
	if _, err := io.ReadFull(in, tail[:]); err != nil {
		return fmt.Errorf("%w: its hash: %w", ErrSnapshot, err)
	}
	if want := le.Uint64(tail[:]); b.Hash() != want {
		return fmt.Errorf("%w: hash %016x after restoring, %016x when it was written", ErrSnapshot, b.Hash(), want)
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it goes on behind its end (%v)", ErrSnapshot, err)
	}
	return nil
}

// checkUncrossed sees to what execute relies on: a price holds orders of one side, and no bid meets an ask.
func (b *Book) checkUncrossed() error {
	for i := range b.instruments[1:] {
		in := &b.instruments[i+1]
		bid, bids := in.bids.highest()
		ask, asks := in.asks.lowest()
		if bids && asks && bid >= ask {
			return fmt.Errorf("%w: instrument %d has a bid of %d and an ask of %d", ErrSnapshot, i+1, bid, ask)
		}
	}
	return nil
}

// restoreOrder puts the next order on the book; orders is the last number given out.
func (b *Book) restoreOrder(r io.Reader, n, orders uint64) error {
	var e [snapshotOrder]byte
	if _, err := io.ReadFull(r, e[:]); err != nil {
		return fmt.Errorf("%w: order %d: %w", ErrSnapshot, n, err)
	}
	le := binary.LittleEndian
	session, number, left := wire.SessionID(le.Uint64(e[0:])), le.Uint64(e[16:]), le.Uint64(e[24:])
	q := Request{
		ClientOrder: le.Uint64(e[8:]), Price: uint64(le.Uint32(e[32:])), Instrument: le.Uint32(e[36:]),
		Side: fb.Side(le.Uint64(e[40:])), Quantity: left,
	}
	if reason := b.check(session, &q); reason != fb.OrderRejectNone || le.Uint64(e[40:]) != uint64(q.Side) {
		return fmt.Errorf("%w: order %d of it would be rejected: %v", ErrSnapshot, n, reason)
	}
	if number == 0 || number > orders {
		return fmt.Errorf("%w: order %d of it has number %d, of %d given out", ErrSnapshot, n, number, orders)
	}
	in := &b.instruments[q.Instrument]
	if before := in.levels[q.Price].tail; before != 0 && b.pool.orders[before].number >= number {
		return fmt.Errorf("%w: order %d of it stands behind a later one", ErrSnapshot, n)
	}
	b.rest(session, &q, in, number, left)
	return nil
}

var _ service.Service = (*Book)(nil)
