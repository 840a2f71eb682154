package mixflow

import (
	"math/rand/v2"

	flatbuffers "github.com/google/flatbuffers/go"
)

// Flow draws the commands of one client for one service.
type Flow interface {
	// Next is the next command, good until the next call.
	Next() []byte
	// Heard takes a response: request is the message that it answers, nil if it answers none.
	Heard(request, response []byte)
}

// Options describe a flow.
type Options struct {
	Rand   *rand.Rand
	Client uint64 // tells the clients of a run apart
	Names  int    // keys, locks, queues, timers that all clients use; 0: 6
	TimeMs uint64 // longest lease, time to live, delay; 0: 1000
	Only   uint16 // the one service that a Mix draws for, without transactions; 0: all
	// StampNs is about what the next record's stamp is. nil: nothing is asked for at a time of the clock.
	StampNs func() uint64
}

// draw is what all flows have.
type draw struct {
	*rand.Rand
	o       Options
	builder *flatbuffers.Builder
	drawn   uint64
}

func newDraw(o Options) draw {
	if o.Names == 0 {
		o.Names = 6
	}
	if o.TimeMs == 0 {
		o.TimeMs = 1000
	}
	return draw{Rand: o.Rand, o: o, builder: flatbuffers.NewBuilder(256)}
}

// name is one of the names that all clients use.
func (d *draw) name(kind string) []byte {
	return append([]byte(kind), byte('a'+min(d.IntN(d.o.Names), d.IntN(d.o.Names))))
}

// odds is true in so many of a hundred.
func (d *draw) odds(percent int) bool { return d.IntN(100) < percent }

// time is a time in ms, as often short as long.
func (d *draw) time() uint64 { return 1 + d.Uint64N(1+d.o.TimeMs>>d.IntN(8)) }

// value is what nobody else ever stores.
func (d *draw) value() []byte {
	d.drawn++
	b := make([]byte, 0, 32)
	for _, v := range []uint64{d.o.Client, d.drawn} {
		b = append(b, byte(v>>16), byte(v>>8), byte(v))
	}
	for range d.IntN(24) {
		b = append(b, byte(d.Uint32()))
	}
	return b
}
