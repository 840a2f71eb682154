package recorded

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"lockstep/service/orderbook/match"
)

// Bounds of a flow.
const (
	MaxMessages    = 10_000_000
	MaxInstruments = 4000
	MaxUsers       = 1 << 20
	MaxLine        = 4096    // bytes of a line of CSV
	MaxBytes       = 1 << 37 // of a file, unpacked
	MaxQuantity    = 1 << 32 // of one order, in lots
)

// Errors of reading.
var (
	// ErrFormat says that a file is not what it was taken for.
	ErrFormat = errors.New("unreadable recorded flow")
	// ErrEmpty says that a file has nothing that could be sent.
	ErrEmpty = errors.New("no order entry in the recorded flow")
)

// verb is what a message asks for.
type verb uint8

const (
	enter verb = iota
	cancel
	replace
)

// message is one request, before it is encoded.
type message struct {
	timeNs     int64
	order      uint32 // numbered from 1 in the flow
	newOrder   uint32 // of replace; may be the same
	instrument uint32 // index
	user       uint32 // index
	price      int64  // in 1/priceUnit; in ticks once the flow is read
	stop       int64  // likewise
	quantity   uint64
	display    uint64
	verb       verb
	side       match.Side
	kind       match.Type
	tif        match.TimeInForce
}

// priceUnit is how many units of a price that is read make 1.
const priceUnit = 100_000_000

// Instrument is one that a flow trades.
type Instrument struct {
	Symbol   string
	Tick     int64  // 1/100,000,000 of the price's unit: the greatest that all its prices are multiples of
	Low      uint32 // lowest price and stop, in ticks
	High     uint32
	Quantity uint64 // largest of one order
	Messages int
}

// Skip is what was left out for one reason.
type Skip struct {
	Why   string
	Count uint64
}

// Flow is a recording, read whole.
type Flow struct {
	Name        string // of the file, without its directory
	Format      Format
	Instruments []Instrument
	Users       int
	Orders      int    // entered, replacements included
	PeakOpen    int    // orders open at once, as far as the file says what became of them
	Skipped     []Skip // most first
	Cut         bool   // the file goes on beyond the limit of messages

	messages []message
	first    match.Instrument // number of the first instrument
}

// Len is how many requests it has.
func (f *Flow) Len() int { return len(f.messages) }

// Span is the time from its first request to its last.
func (f *Flow) Span() time.Duration {
	return time.Duration(f.messages[len(f.messages)-1].timeNs - f.messages[0].timeNs)
}

// PerSec is the mean rate at which it was recorded; 0 when all of it has one time.
func (f *Flow) PerSec() float64 {
	if span := f.Span(); span > 0 {
		return float64(len(f.messages)) / span.Seconds()
	}
	return 0
}

// Peak is the most requests that any window of that length has.
func (f *Flow) Peak(window time.Duration) (most int) {
	from := 0
	for i := range f.messages {
		for f.messages[i].timeNs-f.messages[from].timeNs >= window.Nanoseconds() {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

// Counts are its requests by what they ask for: new, cancel, replace.
func (f *Flow) Counts() (news, cancels, replaces int) {
	for i := range f.messages {
		switch f.messages[i].verb {
		case enter:
			news++
		case cancel:
			cancels++
		default:
			replaces++
		}
	}
	return news, cancels, replaces
}

// Definitions are its instruments as the book is to know them: in continuous trading, each with the band that its prices
// need.
func (f *Flow) Definitions() []match.Definition {
	list := make([]match.Definition, len(f.Instruments))
	for i := range f.Instruments {
		in := &f.Instruments[i]
		list[i] = match.Definition{ID: f.first + match.Instrument(i), Low: in.Low, High: in.High, MaxQuantity: in.Quantity,
			State: match.Continuous}
		copy(list[i].Symbol[:], in.Symbol)
	}
	return list
}

// Price is a number of ticks as a decimal number.
func (i *Instrument) Price(ticks uint32) string {
	units := int64(ticks) * max(i.Tick, 1)
	text := fmt.Sprintf("%d.%08d", units/priceUnit, units%priceUnit)
	return strings.TrimRight(strings.TrimRight(text, "0"), ".")
}
