package recorded

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"lockstep/service/orderbook/match"
)

// itchUnit is a unit of ITCH's prices (1/10,000) in those of this package.
const itchUnit = priceUnit / 10_000

// itchLengths are the lengths of the messages that are order entry; others are passed over, whatever their length.
var itchLengths = map[byte]int{'A': 36, 'F': 40, 'E': 31, 'C': 36, 'X': 23, 'D': 19, 'U': 35}

// itchNames say what is passed over.
var itchNames = map[byte]string{
	'S': "system events", 'R': "stock directory", 'H': "trading actions", 'Y': "short sale restrictions",
	'L': "market participant positions", 'V': "circuit breaker levels", 'W': "circuit breaker status",
	'K': "IPO quoting updates", 'J': "auction collars", 'h': "operational halts", 'P': "trades of orders not displayed",
	'Q': "cross trades", 'B': "broken trades", 'I': "order imbalances", 'N': "retail interest", 'O': "direct listings",
}

// Offsets of what every message begins with, and of what follows in those about orders.
const (
	itchTime      = 5 // six bytes
	itchRef       = 11
	itchSide      = 19 // A, F
	itchShares    = 20
	itchStock     = 24
	itchPrice     = 32
	itchMPID      = 36 // F
	itchExecuted  = 19 // E, C, X
	itchNewRef    = 19 // U
	itchNewShares = 27
	itchNewPrice  = 31
)

// itchReader reads messages, each behind its length (two bytes).
type itchReader struct {
	in     *intake
	lastNs int64
	offset int64
	body   []byte
	anon   uint64 // orders without attribution
}

// readITCH reads the whole file, or as much of it as the limit takes. A length of 0 ends it.
func (in *intake) readITCH(b *bufio.Reader) error {
	r := &itchReader{in: in, body: make([]byte, 1<<16)}
	for {
		var head [2]byte
		_, err := io.ReadFull(b, head[:])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return r.fail("in the length of a message: %w", err)
		}
		n := int(binary.BigEndian.Uint16(head[:]))
		if n == 0 {
			return nil
		}
		if in.full() {
			in.f.Cut = true
			return nil
		}
		if _, err := io.ReadFull(b, r.body[:n]); err != nil {
			return r.fail("in a message of %d bytes: %w", n, err)
		}
		if err := r.message(r.body[:n]); err != nil {
			return err
		}
		r.offset += int64(2 + n)
	}
}

func (r *itchReader) fail(format string, a ...any) error {
	return fmt.Errorf("%w %s: at byte %d: %w", ErrFormat, r.in.f.Name, r.offset, fmt.Errorf(format, a...))
}

// message takes one message.
func (r *itchReader) message(b []byte) error {
	want, ok := itchLengths[b[0]]
	if !ok {
		name, known := itchNames[b[0]]
		if !known {
			return r.fail("a message of type %q, which ITCH 5.0 does not have: is it another format?", b[0])
		}
		r.in.skip(name)
		return nil
	}
	if len(b) != want {
		return r.fail("a message %q of %d bytes: want %d", b[0], len(b), want)
	}
	timeNs := int64(binary.BigEndian.Uint16(b[itchTime:]))<<32 | int64(binary.BigEndian.Uint32(b[itchTime+2:]))
	if timeNs < r.lastNs {
		return r.fail("its time, %d ns, is before that of the message before, %d ns", timeNs, r.lastNs)
	}
	r.lastNs = timeNs
	ref := orderName{ref: binary.BigEndian.Uint64(b[itchRef:])}
	if b[0] == 'A' || b[0] == 'F' {
		return r.add(timeNs, ref, b)
	}
	n, o := r.in.find(ref)
	if o == nil {
		return nil
	}
	if !o.open {
		r.in.skip(skipOver)
		return nil
	}
	switch b[0] {
	case 'D':
		r.in.cancel(timeNs, n, 0)
	case 'X':
		r.reduce(timeNs, n, uint64(binary.BigEndian.Uint32(b[itchExecuted:])))
	case 'U':
		r.replace(timeNs, n, b)
	default:
		r.execute(timeNs, n, uint64(binary.BigEndian.Uint32(b[itchExecuted:])))
	}
	return nil
}

// add takes an order that came to rest.
func (r *itchReader) add(timeNs int64, ref orderName, b []byte) error {
	m := message{timeNs: timeNs, kind: match.Limit, price: int64(binary.BigEndian.Uint32(b[itchPrice:])) * itchUnit,
		quantity: uint64(binary.BigEndian.Uint32(b[itchShares:]))}
	switch b[itchSide] {
	case 'B':
		m.side = match.Buy
	case 'S':
		m.side = match.Sell
	default:
		return r.fail("side %q of order %d: want B or S", b[itchSide], ref.ref)
	}
	symbol := strings.TrimRight(string(b[itchStock:itchPrice]), " ")
	var ok bool
	switch {
	case m.price == 0:
		r.in.skip(skipPrice)
		return nil
	case m.quantity == 0:
		r.in.skip(skipQuantity)
		return nil
	case !usableSymbol(symbol):
		r.in.skip(skipSymbol)
		return nil
	}
	if m.instrument, ok = r.in.instrument(symbol); !ok {
		r.in.skip(skipInstruments)
		return nil
	}
	name := fmt.Sprint("anonymous ", r.anon%itchAnonymous)
	if b[0] == 'F' {
		name = string(b[itchMPID:])
	} else {
		r.anon++
	}
	if m.user, ok = r.in.user(name); !ok {
		r.in.skip(skipUsers)
		return nil
	}
	if n, ok := r.in.orders[ref]; ok {
		r.in.close(n)
	}
	r.in.enter(ref, m, true)
	return nil
}

// itchAnonymous is how many users the orders without attribution are dealt out to, in turn.
const itchAnonymous = 1024

// reduce takes so much off an order.
func (r *itchReader) reduce(timeNs int64, n uint32, shares uint64) {
	o := &r.in.known[n]
	if shares == 0 {
		r.in.skip(skipQuantity)
		return
	}
	if o.total-o.executed <= shares {
		r.in.cancel(timeNs, n, 0)
		return
	}
	r.in.cancel(timeNs, n, o.total-shares)
}

// replace gives an order another number, price and quantity: what was executed of it goes on counting.
func (r *itchReader) replace(timeNs int64, n uint32, b []byte) {
	o := &r.in.known[n]
	m := message{timeNs: timeNs, price: int64(binary.BigEndian.Uint32(b[itchNewPrice:])) * itchUnit,
		quantity: o.executed + uint64(binary.BigEndian.Uint32(b[itchNewShares:]))}
	switch {
	case m.price == 0:
		r.in.skip(skipPrice)
		return
	case m.quantity == o.executed || m.quantity > MaxQuantity:
		r.in.skip(skipQuantity)
		return
	}
	r.in.replace(orderName{ref: binary.BigEndian.Uint64(b[itchNewRef:])}, n, m)
}

// execute sends what executed against an order: one of the other side, at its price, for so much, that does not rest.
func (r *itchReader) execute(timeNs int64, n uint32, shares uint64) {
	o := &r.in.known[n]
	if left := o.total - o.executed; shares > left {
		r.in.skip(skipExecuted)
		shares = left
	}
	if shares == 0 {
		return
	}
	m := message{timeNs: timeNs, instrument: o.instrument, user: o.user, side: match.Buy + match.Sell - o.side,
		kind: match.Limit, tif: match.IOC, price: o.price, quantity: shares}
	if o.executed += shares; o.executed == o.total {
		r.in.close(n)
	}
	r.in.f.messages = append(r.in.f.messages, r.in.aggressor(m))
}
