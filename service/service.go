package service

import (
	"io"

	"lockstep/wire"
)

// The numbers of the services that ship with Lockstep: field service of records and messages.
const (
	// None is the place of a message that was refused for good or voided: it takes its correlation and does
	// nothing else. Its payload says why (wire.Reason; without one it was voided).
	None uint16 = 0
	// Echo answers every message with its payload (package service/echo).
	Echo uint16 = 1
	// OrderBook is the order book (package service/orderbook).
	OrderBook uint16 = 2
	// KV is the key/value store (package service/kv).
	KV uint16 = 3
	// Lock is locks (package service/lock).
	Lock uint16 = 4
	// Queue is work queues (package service/queue).
	Queue uint16 = 5
	// TimerService is timers that clients set (package service/timer).
	TimerService uint16 = 6
	// Transaction carries commands for several services, applied as one: the driver's own.
	Transaction uint16 = 7
	// FirstOwn .. MaxServices-1 are for services that somebody adds of his own.
	FirstOwn uint16 = 8
)

// names are those of the numbers above, on command lines and in what is shown.
var names = [FirstOwn]string{None: "none", Echo: "echo", OrderBook: "orderbook", KV: "kv", Lock: "lock", Queue: "queue",
	TimerService: "timer", Transaction: "transaction"}

// NameOf is the name of a service number that Lockstep gives out; empty: it is not one of those.
func NameOf(number uint16) string {
	if number >= FirstOwn {
		return ""
	}
	return names[number]
}

// MaxServices bounds the service numbers: 1 .. MaxServices-1.
const MaxServices = 16

// Behaviour versions: whatever changes an output for the same log makes a new one. A build has all from FirstVersion to
// Version; which is in force stands in the log.
const (
	FirstVersion uint32 = 1 // in force until a config record says otherwise
	Version      uint32 = 1 // the highest that this build has
)

// Limits on what one record may cause, or each command of a transaction. They are part of the behaviour: the same on every node.
const (
	// MaxOutputs is how many responses one record may cause, to all sessions together.
	MaxOutputs = 8192
	// MaxOutputBytes bounds the payloads of these responses.
	MaxOutputBytes = 1 << 20
	// MaxResponse is the longest payload of a response, in bytes.
	MaxResponse = wire.MaxMessage
	// MaxWork is how many units of work one record may cost (Context.Count).
	MaxWork = 1 << 16
)

// Service is a deterministic state machine. Every method runs on the driver's thread, unpinned. What a service does
// may depend on the records it was given and on nothing else: no clock but Context.Timestamp, no map iteration, no
// floating point in what is compared, no randomness, no configuration that differs between nodes. A panic halts
// apply on this node (and, being deterministic, on every other).
type Service interface {
	// Name is for people: status, errors. Constant.
	Name() string
	// Apply consumes one message. r and payload are good during the call only.
	Apply(ctx *Context, r *wire.Record, payload []byte)
	// OnSession tells that a session was opened or closed. A response to a session that is closed goes nowhere.
	OnSession(ctx *Context, session wire.SessionID, opened bool)
	// Snapshot writes the whole state and changes nothing; two services in the same state write the same bytes. It
	// returns the first error of w at once: the snapshot is to be given up then. It must not hold the state in memory a
	// second time. Timers are not its concern: the driver keeps them.
	Snapshot(w io.Writer) error
	// Restore replaces the whole state by what Snapshot wrote, so that everything that follows is answered as if the state
	// had come about by records; OnSession is not called. r ends where the service's bytes end, and all of them must be
	// read. Bytes that Snapshot cannot have written are an error, ErrUnsuited if a service with other options can have.
	// After an error the service must not be used.
	Restore(r io.Reader) error
	// Hash tells two states apart. It is called once a batch and must be cheap: kept up as the state changes,
	// not computed over all of it.
	Hash() uint64
}

// Context is what a service may use while it is called: the stamp of the record, and the way to answer. It belongs
// to the driver and is good during the call only.
type Context struct {
	record  *wire.Record
	service uint16
	version uint32
	stage   *stage
	timers  *Timers
	refused uint64 // timers for which there was no room
	work    int    // units of this record

	checking bool // the service checks a command, and must have no effect
	reserved int  // timers, by this message's checks
}

// Timestamp is the record's stamp, ns since the Unix epoch: the only time there is. It strictly increases.
func (c *Context) Timestamp() uint64 { return c.record.Timestamp }

// Sequence is the record's number, from 1.
func (c *Context) Sequence() uint64 { return c.record.Sequence }

// Version is the behaviour version in force, FirstVersion to Version: it changes with a config record, at the same place
// of the log on every node. A service that is to behave otherwise than before does so from a new version on.
func (c *Context) Version() uint32 { return c.version }

// Respond queues a response to a session, the message's own or another's. The payload is copied. It is numbered in
// its session and kept until the client has acknowledged it; a response to a session that is not open goes nowhere.
// It panics when a record causes more than MaxOutputs or MaxOutputBytes, or the payload is longer than MaxResponse.
func (c *Context) Respond(session wire.SessionID, payload []byte) {
	c.effect()
	c.stage.respond(c.service, session, payload)
}

// Count takes units of work into account: one for each order looked at, key walked, item expired, or whatever else a record
// may do many of. A service bounds what one record costs by itself, far below MaxWork: beyond that Count panics, which halts
// apply. Nothing that is answered may depend on the count.
func (c *Context) Count(units int) {
	if c.work += units; units < 0 || units > MaxWork || c.work > MaxWork {
		panic("service: one record cost more than MaxWork units of work")
	}
}

// Work is how many units the record has cost so far.
func (c *Context) Work() int { return c.work }

// NewContext returns a context that is not bound to a driver, for the tests of a service. Each calls Begin with the
// record, the service's method, and Responses and Timers.
func NewContext() *Context {
	return &Context{record: &wire.Record{}, version: Version, stage: newStage(), timers: NewTimers(64)}
}

// Begin binds the context to a record and forgets earlier responses.
func (c *Context) Begin(r *wire.Record) {
	c.record, c.service, c.work, c.reserved, c.checking = r, r.Service, 0, 0, false
	c.stage.reset()
}

// BeginCheck is Begin for a Checker's Check: an effect panics.
func (c *Context) BeginCheck(r *wire.Record) {
	c.Begin(r)
	c.checking = true
}

// Responses calls f with every response queued since Begin, in order. The payload is good until the next Begin.
func (c *Context) Responses(f func(session wire.SessionID, payload []byte)) {
	for i := range c.stage.items {
		it := &c.stage.items[i]
		if it.head.Kind != EgressResponse {
			continue
		}
		f(it.head.Session, c.stage.payload(it))
	}
}

// Timers are the timers that are pending, of all services: for the tests of a service.
func (c *Context) Timers() *Timers { return c.timers }
