package transport

import (
	"fmt"

	"lockstep/internal/counters"
)

// Counters are what every transport counts, under the same names whichever transport it is. They are written by the
// transport's thread, once a batch.
type Counters struct {
	Received    *counters.Counter // datagrams handed up
	Sent        *counters.Counter // datagrams the kernel took
	Truncated   *counters.Counter // arrived longer than MaxPayload: dropped
	Overrun     *counters.Counter // dropped by the kernel because its receive buffer was full; read now and then
	Full        *counters.Counter // Acquire came back with fewer frames than asked for
	Unreachable *counters.Counter // not sent: no route, no neighbour, interface down
	TooLong     *counters.Counter // not sent: longer than MaxPayload or than the route's MTU
	Failed      *counters.Counter // not sent, or not received, for any other reason
}

// NewCounters finds or makes the counters in f.
func NewCounters(f *counters.File) *Counters {
	const dropped = "Datagrams that the transport dropped, by reason."
	reason := func(name string) *counters.Counter {
		return f.Counter(`lockstep_transport_dropped_total{reason="`+name+`"}`, dropped)
	}
	return &Counters{
		Received:    f.Counter("lockstep_transport_received_total", "Datagrams received."),
		Sent:        f.Counter("lockstep_transport_sent_total", "Datagrams handed to the kernel."),
		Full:        f.Counter("lockstep_transport_full_total", "Times that the transmit side had no room."),
		Truncated:   reason("truncated"),
		Overrun:     reason("overrun"),
		Unreachable: reason("unreachable"),
		TooLong:     reason("too_long"),
		Failed:      reason("failed"),
	}
}

// numCounters is how many counters NewCounters makes.
const numCounters = 8

// privateCounters are for a transport whose owner gave no file: counted all the same, seen by nobody else.
func privateCounters() (*Counters, *counters.File, error) {
	f, err := counters.Create("", 2*numCounters)
	if err != nil {
		return nil, nil, fmt.Errorf("transport: memory for counters: %w", err)
	}
	return NewCounters(f), f, nil
}
