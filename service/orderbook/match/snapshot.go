package match

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Errors of Restore.
var (
	// ErrSnapshot says that no engine can have written this snapshot.
	ErrSnapshot = errors.New("match: not the snapshot of an engine")
	// ErrUnsuited says that the snapshot is one of an engine with other options.
	ErrUnsuited = errors.New("match: the snapshot of an engine with other options")
)

// A snapshot is a head (magic, options, counters), the accounts that are known by ascending number, the instruments that
// are defined by ascending number each followed by its open orders, Day orders first, by ascending number; and the hash.
// All numbers are little-endian.
const snapshotMagic = 0x3148435441_4d534c // "LSMATCH1"

const (
	headWords       = 9 + 11
	accountBytes    = 64
	instrumentBytes = 96
	orderBytes      = 112
)

// pen writes fixed records of a snapshot.
type pen struct {
	w   io.Writer
	b   [256]byte
	n   int
	err error
}

func (p *pen) u64(v uint64) {
	binary.LittleEndian.PutUint64(p.b[p.n:], v)
	p.n += 8
}

func (p *pen) u32(v uint32) {
	binary.LittleEndian.PutUint32(p.b[p.n:], v)
	p.n += 4
}

func (p *pen) u8(v uint8) {
	p.b[p.n] = v
	p.n++
}

// done writes the record, filled up with zeros to its length.
func (p *pen) done(length int) {
	clear(p.b[p.n:])
	if p.err == nil {
		_, p.err = p.w.Write(p.b[:length])
	}
	p.n = 0
}

func (o *Options) words() [9]uint64 {
	return [9]uint64{
		uint64(o.Instruments), uint64(o.MaxInstruments), uint64(o.PriceLimit), o.MaxQuantity, uint64(o.MaxOrders),
		uint64(o.MaxAccounts), uint64(o.MaxOpen), uint64(o.MaxFills), uint64(o.MaxElections),
	}
}

// Snapshot writes the whole state. Engines in the same state write the same bytes.
func (e *Engine) Snapshot(w io.Writer) error {
	p := &pen{w: w}
	p.u64(snapshotMagic)
	for _, word := range e.options.words() {
		p.u64(word)
	}
	d := &e.accounts.defaults
	for _, word := range [10]uint64{
		e.number, e.executions, e.published, e.tickets, bit(e.killed)<<32 | uint64(e.killing),
		d.MaxQuantity, uint64(d.MaxOpen)<<32 | uint64(d.MessagesPerS),
		uint64(e.accounts.used), uint64(e.defined()), uint64(e.orders.used),
	} {
		p.u64(word)
	}
	p.done(8 * headWords)
	e.writeAccounts(p)
	for id := 1; id < len(e.instruments) && p.err == nil; id++ {
		if in := &e.instruments[id]; in.state != 0 {
			writeInstrument(p, in)
			e.writeOrders(p, in)
		}
	}
	p.u64(e.Hash())
	p.done(8)
	return p.err
}

// defined is how many instruments there are.
func (e *Engine) defined() (n int) {
	for i := range e.instruments {
		if e.instruments[i].state != 0 {
			n++
		}
	}
	return n
}

func (e *Engine) writeAccounts(p *pen) {
	order := make([]uint32, e.accounts.used)
	for i := range order {
		order[i] = uint32(i + 1)
	}
	at := e.accounts.at
	slices.SortFunc(order, func(i, j uint32) int { return cmp.Compare(at[i].id, at[j].id) })
	for _, i := range order {
		x := &at[i]
		p.u64(uint64(x.id))
		p.u64(x.used)
		p.u64(x.stamp)
		p.u64(x.idle)
		p.u64(x.limits.MaxQuantity)
		p.u32(x.limits.MaxOpen)
		p.u32(x.limits.MessagesPerS)
		p.u64(bit(x.own) | bit(x.killed)<<1)
		p.done(accountBytes)
	}
}

func writeInstrument(p *pen, in *instrument) {
	d := &in.d
	p.u64(word(d.Symbol[:8]))
	p.u64(word(d.Symbol[8:]))
	p.u64(d.MaxQuantity)
	p.u64(in.volume)
	p.u64(in.ticket)
	for _, v := range [...]uint32{uint32(d.ID), d.Low, d.High, d.Collar, d.Reference, in.last, in.price, in.at} {
		p.u32(v)
	}
	for _, v := range [...]uint8{uint8(d.State), uint8(in.state), uint8(in.phase), uint8(in.target)} {
		p.u8(v)
	}
	p.u64(in.imbalance)
	p.done(instrumentBytes)
}

func (e *Engine) writeOrders(p *pen, in *instrument) {
	var n uint64
	for l := range in.open {
		for i := in.open[l].head; i != 0; i = e.orders.rest[i].nextOpen {
			n++
		}
	}
	p.u64(n)
	p.done(8)
	for l := range in.open {
		for i := in.open[l].head; i != 0 && p.err == nil; i = e.orders.rest[i].nextOpen {
			o, m := &e.orders.at[i], &e.orders.rest[i]
			for _, v := range [...]uint64{
				o.number, uint64(e.accounts.at[o.account].id), uint64(o.client), o.left, o.executed,
				o.shown, m.display, m.expire, m.rank,
			} {
				p.u64(v)
			}
			p.u32(o.price)
			p.u32(m.stop)
			for _, v := range [...]uint8{
				uint8(o.side), uint8(m.kind), uint8(e.orders.rest[i].tif), uint8(m.self), uint8(bit(m.postOnly)), uint8(o.place),
			} {
				p.u8(v)
			}
			p.done(orderBytes)
		}
	}
}

// glass reads fixed records of a snapshot.
type glass struct {
	r   io.Reader
	b   [256]byte
	n   int
	end int
	err error
}

// next reads a record.
func (g *glass) next(length int) {
	g.n, g.end = 0, length
	if g.err == nil {
		if _, err := io.ReadFull(g.r, g.b[:length]); err != nil {
			g.err = fmt.Errorf("%w: %w", ErrSnapshot, err)
		}
	}
	if g.err != nil {
		clear(g.b[:])
	}
}

func (g *glass) u64() uint64 {
	g.n += 8
	return binary.LittleEndian.Uint64(g.b[g.n-8:])
}

func (g *glass) u32() uint32 {
	g.n += 4
	return binary.LittleEndian.Uint32(g.b[g.n-4:])
}

func (g *glass) u8() uint8 {
	g.n++
	return g.b[g.n-1]
}

// flag reads a byte that is 0 or 1.
func (g *glass) flag() bool {
	v := g.u8()
	g.must(v <= 1, "a flag of %d", v)
	return v == 1
}

// done says that the rest of the record must be zero.
func (g *glass) done() {
	for _, b := range g.b[g.n:g.end] {
		g.must(b == 0, "bytes where none are written")
	}
}

// must notes what is wrong; the first counts.
func (g *glass) must(ok bool, format string, args ...any) {
	if !ok && g.err == nil {
		g.err = fmt.Errorf("%w: "+format, append([]any{ErrSnapshot}, args...)...)
	}
}
