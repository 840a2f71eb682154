package orderbook

import (
	"errors"
	"fmt"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service"
	"lockstep/service/orderbook/match"
	"lockstep/wire"
)

// Options are the limits of a book: those of its engine. They change what is answered, so they must be the same on
// every node. Zero fields take the default.
type Options = match.Options

// MaxBytes is how many bytes one record's answers have before market events are left out. The private reports alone
// fit into service.MaxOutputs and MaxOutputBytes whatever the options: the engine executes 3500 times a record at
// most.
const MaxBytes = service.MaxOutputBytes / 4 * 3

// ErrOptions says that the options cannot work.
var ErrOptions = errors.New("orderbook: unusable options")

// expireBudget is how many orders one record expires at most.
const expireBudget = 1024

// scanned is how many instrument numbers one request to list instruments looks at, at most.
const scanned = 4096

// The ids of the book's deadlines.
const (
	deadlineContinue = 1 // the engine has work left
	deadlineExpiry   = 2 // the earliest order that is good till a date expires
)

// Book is the order book service.
type Book struct {
	options     Options
	engine      *match.Engine
	parties     parties
	subscribers subscribers
	deadlines   *service.Deadlines

	// What follows is no state: memory that is used again.
	request     Request
	event       Event
	builder     *flatbuffers.Builder
	refusal     *flatbuffers.Builder // of Check
	market      []match.Event
	open        []match.Open
	bids, asks  []match.Level
	definitions []match.Definition
	sent        int // bytes answered to this record
}

// New returns an empty book.
func New(o Options) (*Book, error) {
	engine, err := match.NewEngine(o)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	b := &Book{options: engine.Options(), engine: engine, builder: flatbuffers.NewBuilder(256),
		refusal:   flatbuffers.NewBuilder(256),
		deadlines: service.NewDeadlines(0, 2, 1), market: make([]match.Event, 0, MaxMarket)}
	b.clear()
	return b, nil
}

// clear empties all but the engine.
func (b *Book) clear() {
	b.parties = newParties()
	b.subscribers = newSubscribers(b.options.MaxInstruments)
	b.deadlines.Reset()
}

// Name implements service.Service.
func (b *Book) Name() string { return "orderbook" }

// Hash implements service.Service.
func (b *Book) Hash() uint64 {
	h := service.Mix(b.engine.Hash(), b.parties.sum)
	h = service.Mix(service.Mix(h, uint64(b.parties.count())), b.subscribers.sum)
	return service.Mix(h, b.deadlines.Hash())
}

// Resting returns how many orders are open. Driver's thread.
func (b *Book) Resting() int {
	orders, _ := b.engine.Open()
	return orders
}

// Memory implements service.Sized: how many orders are open, and may be.
func (b *Book) Memory() (used, limit uint64) { return uint64(b.Resting()), uint64(b.options.MaxOrders) }

// begin forgets what the record before caused.
func (b *Book) begin() {
	b.engine.Reset()
	b.sent = 0
}

// Apply implements service.Service.
func (b *Book) Apply(ctx *service.Context, r *wire.Record, payload []byte) {
	b.begin()
	if !DecodeRequest(payload, &b.request) {
		b.reject(ctx, r.Session, 0, match.Malformed)
		return
	}
	if b.trade(ctx, b.account(r.Session)) || b.control(ctx, r.Session) {
		b.flush(ctx)
		b.rearm(ctx)
	}
}

// account is the account that a session acts for: its own, if it acts for none.
func (b *Book) account(session wire.SessionID) match.Account {
	p := b.parties.of(session)
	if !p.bound {
		b.parties.bind(p, OwnAccount(session), false)
	}
	return p.account
}

// trade carries out what is about the orders of an account. It reports false when the request is something else.
func (b *Book) trade(ctx *service.Context, account match.Account) bool {
	q := &b.request
	switch q.Command {
	case NewOrder:
		q.New.Account = account
		b.engine.Enter(ctx.Timestamp(), &q.New)
	case CancelOrder:
		q.Cancel.Account = account
		b.engine.Cancel(&q.Cancel)
	case ReplaceOrder:
		q.Replace.Account = account
		b.engine.Replace(ctx.Timestamp(), &q.Replace)
	case MassCancel:
		b.engine.MassCancel(account, q.Instrument, q.Side)
	default:
		return false
	}
	return true
}

// control carries out what is about sessions, accounts and instruments. It reports false when that was only to be
// looked at.
func (b *Book) control(ctx *service.Context, session wire.SessionID) bool {
	q := &b.request
	switch q.Command {
	case Login:
		b.login(ctx, session)
	case Subscribe:
		b.subscribe(ctx, session)
	case DepthRequest:
		b.depth(ctx, session)
	case InstrumentsRequest:
		b.list(ctx, session)
	case DefineInstruments:
		b.define(ctx, session)
		return true
	case SetState:
		b.done(ctx, session, b.engine.SetState(ctx.Timestamp(), q.Instrument, q.State))
		return true
	case SetLimits:
		b.done(ctx, session, b.engine.SetLimits(q.Account, q.Limits))
	case Kill:
		b.done(ctx, session, b.engine.Kill(q.Account, !q.Off))
		return true
	default:
		b.reject(ctx, session, 0, match.BustUnsupported)
	}
	return false
}

// done answers a command about instruments or accounts.
func (b *Book) done(ctx *service.Context, session wire.SessionID, reason match.Reason) {
	if reason != match.None {
		b.reject(ctx, session, 0, reason)
		return
	}
	b.event = Event{Kind: Done}
	b.respond(ctx, session)
}

// define takes definitions in their order, up to one that is refused: Done with their count, then Rejected with the
// number of that one as the client order.
func (b *Book) define(ctx *service.Context, session wire.SessionID) {
	count := uint32(0)
	for i := range b.request.Definitions {
		d := &b.request.Definitions[i]
		if d.MaxQuantity == 0 {
			d.MaxQuantity = b.options.MaxQuantity
		}
		if reason := b.engine.Define(d); reason != match.None {
			b.event = Event{Kind: Done, Count: count}
			b.respond(ctx, session)
			b.reject(ctx, session, uint64(d.ID), reason)
			return
		}
		count++
	}
	b.event = Event{Kind: Done, Count: count}
	b.respond(ctx, session)
}

// login binds a session to an account.
func (b *Book) login(ctx *service.Context, session wire.SessionID) {
	q := &b.request
	if q.Account == 0 || q.Account >= ownAccount {
		b.reject(ctx, session, 0, match.BadAccount)
		return
	}
	if p := b.parties.of(session); p.bound && p.account != q.Account {
		b.leave(ctx, p)
	}
	if before := b.parties.bind(b.parties.of(session), q.Account, q.Stay); before != 0 {
		b.event = Event{Kind: LoggedOut, Account: uint64(q.Account)}
		b.respond(ctx, before)
	}
	b.open = b.engine.OpenOrders(b.open[:0], q.Account)
	ctx.Count(1 + len(b.open))
	b.event = Event{Kind: LoggedIn, Account: uint64(q.Account), Count: uint32(len(b.open))}
	b.respond(ctx, session)
}

// leave takes the orders of an account off that its session leaves, unless they are to stay.
func (b *Book) leave(ctx *service.Context, p *party) {
	if !p.bound || p.stay {
		return
	}
	b.engine.Leave(p.account)
	b.flush(ctx)
	b.engine.Reset()
	b.rearm(ctx)
}

// subscribe begins, or ends, telling a session market events.
func (b *Book) subscribe(ctx *service.Context, session wire.SessionID) {
	q := &b.request
	if q.Instrument > match.Instrument(b.options.MaxInstruments) {
		b.reject(ctx, session, 0, match.UnknownInstrument)
		return
	}
	switch {
	case q.Off:
		b.subscribers.off(session, q.Instrument)
	case !b.subscribers.on(session, q.Instrument):
		b.reject(ctx, session, 0, match.TooManySubscribers)
		return
	}
	b.event = Event{Kind: Subscribed, Instrument: uint32(q.Instrument), Off: q.Off, Next: b.engine.NextNumber()}
	b.respond(ctx, session)
}

// depth answers with the best prices of an instrument.
func (b *Book) depth(ctx *service.Context, session wire.SessionID) {
	q := &b.request
	_, state, _, last, ok := b.engine.Lookup(q.Instrument)
	if !ok {
		b.reject(ctx, session, 0, match.UnknownInstrument)
		return
	}
	levels := MaxDepth
	if q.Levels != 0 {
		levels = int(min(q.Levels, MaxDepth))
	}
	b.bids = b.engine.Depth(b.bids[:0], q.Instrument, match.Buy, levels)
	b.asks = b.engine.Depth(b.asks[:0], q.Instrument, match.Sell, levels)
	b.event = Event{Kind: Depth, Instrument: uint32(q.Instrument), State: state, Last: last,
		Next: b.engine.NextNumber(), Bids: b.bids, Asks: b.asks}
	ctx.Count(1 + len(b.bids) + len(b.asks))
	b.respond(ctx, session)
}

// list answers with the definitions of the instruments after a number, in the state that they are in.
func (b *Book) list(ctx *service.Context, session wire.SessionID) {
	from := min(uint32(b.request.Instrument), b.options.MaxInstruments)
	until := min(b.options.MaxInstruments, from+scanned)
	b.definitions = b.definitions[:0]
	id := from
	for id < until && len(b.definitions) < MaxListed {
		id++
		if d, state, _, _, ok := b.engine.Lookup(match.Instrument(id)); ok {
			d.State = state
			b.definitions = append(b.definitions, d)
		}
	}
	b.event = Event{Kind: Instruments, Definitions: b.definitions}
	if id < b.options.MaxInstruments {
		b.event.Next = uint64(id)
	}
	ctx.Count(1 + int(id-from))
	b.respond(ctx, session)
}

// OnSession implements service.Service. The orders of a session that ends are taken off, unless it said at its login
// that they stay.
func (b *Book) OnSession(ctx *service.Context, session wire.SessionID, opened bool) {
	b.begin()
	if opened {
		b.account(session)
		return
	}
	b.subscribers.off(session, 0)
	p := b.parties.of(session)
	b.leave(ctx, p)
	b.parties.unbind(p)
	b.parties.remove(p)
}

// OnTimer implements service.Timed: it goes on with what takes several records, and expires orders.
func (b *Book) OnTimer(ctx *service.Context, id, _ uint64) {
	if !b.deadlines.Owns(id) {
		return
	}
	b.begin()
	which, _, due := b.deadlines.Next(ctx)
	switch {
	case !due:
	case which == deadlineContinue:
		b.engine.Continue(ctx.Timestamp())
	default:
		b.engine.Expire(ctx.Timestamp(), expireBudget)
	}
	b.flush(ctx)
	b.rearm(ctx)
}

// rearm has the deadlines be what the engine's state asks for, and the driver's timer stand at the first of them, also
// when the record of that timer was passed over.
func (b *Book) rearm(ctx *service.Context) {
	if _, set := b.deadlines.Deadline(deadlineContinue); !set && b.engine.Pending() {
		b.deadlines.Set(ctx, deadlineContinue, ctx.Timestamp())
	}
	at, some := b.engine.NextExpiry()
	was, set := b.deadlines.Deadline(deadlineExpiry)
	switch {
	case some && (!set || was != at):
		b.deadlines.Set(ctx, deadlineExpiry, at)
	case !some && set:
		b.deadlines.Cancel(ctx, deadlineExpiry)
	}
	b.deadlines.Rearm(ctx)
}
