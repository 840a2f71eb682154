package recorded

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strconv"

	"lockstep/internal/orderflow"
	"lockstep/service/orderbook"
	"lockstep/service/orderbook/match"
)

// SampleOptions describe a recording to make up. Zero fields take the default.
type SampleOptions struct {
	Format      Format  // default CSV
	Messages    int     // of the flow; default 100,000, at most MaxMessages. ITCH has what the book tells of them
	Users       int     // default 8
	Instruments int     // default 8
	Rate        float64 // messages a second on average, at times drawn like those of independent users; default 20,000
	Seed        uint64
}

// sampleStart is when samples begin: half past nine, in nanoseconds of a day.
const sampleStart = (9*60 + 30) * 60 * 1_000_000_000

// samplePrice is what a tick of the seeded flow is in a sample: a cent, in units of ITCH's prices.
const samplePrice = 100

// Check says what is wrong with them, and fills in the defaults.
func (o *SampleOptions) Check() error {
	for _, n := range []*int{&o.Users, &o.Instruments} {
		if *n == 0 {
			*n = 8
		}
	}
	if o.Format == "" {
		o.Format = CSV
	}
	if o.Messages == 0 {
		o.Messages = 100_000
	}
	if o.Rate == 0 {
		o.Rate = 20_000
	}
	switch {
	case o.Format != CSV && o.Format != ITCH:
		return fmt.Errorf("format %q of a sample: want csv or itch", o.Format)
	case o.Messages < 1 || o.Messages > MaxMessages:
		return fmt.Errorf("%d messages of a sample: want 1 to %d", o.Messages, MaxMessages)
	case o.Users < 1 || o.Users > 1000 || o.Instruments < 1 || o.Instruments > 1000:
		return fmt.Errorf("%d users, %d instruments of a sample: want 1 to 1000", o.Users, o.Instruments)
	case !(o.Rate >= 1 && o.Rate <= 1e9):
		return fmt.Errorf("rate %g of a sample: want 1 to 1,000,000,000 messages a second", o.Rate)
	}
	return nil
}

// Sample writes a recording of the seeded flow of so many users.
func Sample(w io.Writer, o SampleOptions) error {
	if err := o.Check(); err != nil {
		return err
	}
	b := bufio.NewWriterSize(w, 1<<16)
	var record func(timeNs int64, user int, q *orderbook.Request) error
	if o.Format == ITCH {
		venue, err := newVenue(b, &o)
		if err != nil {
			return err
		}
		record = venue.record
	} else {
		c := &csvWriter{w: b, instruments: map[uint64]match.Instrument{}}
		c.header()
		record = c.record
	}
	flows := make([]*orderflow.Generator, o.Users)
	for i := range flows {
		flows[i] = orderflow.New(orderflow.Options{Seed: o.Seed, Client: uint64(i), Instruments: uint32(o.Instruments), Open: 128})
	}
	random := rand.New(rand.NewPCG(o.Seed, 1))
	at := float64(sampleStart)
	var q orderbook.Request
	for i := range o.Messages {
		user := i % o.Users
		payload, _ := flows[user].Next()
		if !orderbook.DecodeRequest(payload, &q) {
			return fmt.Errorf("the seeded flow has %d bytes that are no request", len(payload))
		}
		if err := record(int64(at), user, &q); err != nil {
			return err
		}
		at += math.Min(random.ExpFloat64(), 20) / o.Rate * 1e9
	}
	return b.Flush()
}

// sampleSymbol is what the n-th instrument is called.
func sampleSymbol(n match.Instrument) string { return fmt.Sprintf("SMPL%d", n) }

// csvWriter writes requests as lines.
type csvWriter struct {
	w           *bufio.Writer
	line        []byte
	instruments map[uint64]match.Instrument // by user and client order
}

func (c *csvWriter) header() {
	for i, name := range columnNames {
		if i > 0 {
			_ = c.w.WriteByte(',')
		}
		_, _ = c.w.WriteString(name)
	}
	_ = c.w.WriteByte('\n')
}

// Words of a sample, by value.
var (
	sampleSides = [...]string{match.Buy: "buy", match.Sell: "sell"}
	sampleKinds = [...]string{match.Limit: "limit", match.Market: "market", match.Stop: "stop", match.StopLimit: "stop_limit"}
	sampleTIFs  = [...]string{match.Day: "day", match.GTC: "gtc", match.IOC: "ioc", match.FOK: "fok"}
)

// record writes one request. The buffer says at its flush what went wrong.
func (c *csvWriter) record(timeNs int64, user int, q *orderbook.Request) error {
	var f [numColumns]string
	f[columnTime], f[columnUser] = strconv.FormatInt(timeNs, 10), fmt.Sprintf("trader%d", user+1)
	id := func(order match.ClientOrder) uint64 { return uint64(user)<<40 | uint64(order) }
	terms := func(price, stop uint32, quantity, display uint64) {
		f[columnPrice], f[columnStop] = sampleDecimal(price), sampleDecimal(stop)
		f[columnQuantity] = strconv.FormatUint(quantity, 10)
		if display > 0 {
			f[columnDisplay] = strconv.FormatUint(display, 10)
		}
	}
	order := func(order match.ClientOrder) {
		f[columnOrder], f[columnInstrument] = strconv.FormatUint(uint64(order), 10), sampleSymbol(c.instruments[id(order)])
	}
	switch q.Command {
	case orderbook.NewOrder:
		n := &q.New
		c.instruments[id(n.ClientOrder)] = n.Instrument
		f[columnAction], f[columnSide] = "new", sampleSides[n.Side]
		f[columnType], f[columnTIF] = sampleKinds[n.Type], sampleTIFs[n.TIF]
		order(n.ClientOrder)
		terms(n.Price, n.Stop, n.Quantity, n.Display)
	case orderbook.CancelOrder:
		f[columnAction] = "cancel"
		order(q.Cancel.ClientOrder)
		delete(c.instruments, id(q.Cancel.ClientOrder))
	default:
		r := &q.Replace
		f[columnAction], f[columnNewOrder] = "replace", strconv.FormatUint(uint64(r.NewClientOrder), 10)
		order(r.ClientOrder)
		c.instruments[id(r.NewClientOrder)] = c.instruments[id(r.ClientOrder)]
		delete(c.instruments, id(r.ClientOrder))
		terms(r.Price, r.Stop, r.Quantity, r.Display)
	}
	c.line = c.line[:0]
	for i, field := range f {
		if i > 0 {
			c.line = append(c.line, ',')
		}
		c.line = append(c.line, field...)
	}
	_, err := c.w.Write(append(c.line, '\n'))
	return err
}

// sampleDecimal is a price of the seeded flow as a decimal number; "" for none.
func sampleDecimal(ticks uint32) string {
	if ticks == 0 {
		return ""
	}
	return fmt.Sprintf("%d.%02d", ticks/100, ticks%100)
}
