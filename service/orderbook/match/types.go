package match

// Account owns orders. 0 is none: what it sends is refused with BadAccount.
type Account uint64

// ClientOrder is the name of an order that its account chose, any number. It is free again once the order is closed.
type ClientOrder uint64

// Instrument is the number of what is traded, 1 .. Options.MaxInstruments; 0 is none, or all where that is said.
type Instrument uint32

// Side of an order.
type Side uint8

// Sides.
const (
	Buy  Side = 1
	Sell Side = 2
)

// Type of an order.
type Type uint8

// Types.
const (
	Limit     Type = 1
	Market    Type = 2
	Stop      Type = 3 // becomes a Market order when it is elected
	StopLimit Type = 4 // becomes a Limit order when it is elected
)

// TimeInForce is how long an order stays.
type TimeInForce uint8

// Times in force.
const (
	Day TimeInForce = 0 // until the instrument is Closed
	GTC TimeInForce = 1 // until it is cancelled
	GTD TimeInForce = 2 // until New.Expire
	IOC TimeInForce = 3 // what does not execute at once is Canceled Unfilled
	FOK TimeInForce = 4 // executes whole at once, or is Canceled NotFilled
)

// SelfMatch is what happens when an order that comes in meets one of its own account: its own policy decides.
type SelfMatch uint8

// Policies.
const (
	Allow        SelfMatch = 0 // they execute
	CancelNewest SelfMatch = 1 // what is left of the one that comes in is Canceled SelfMatch
	CancelOldest SelfMatch = 2 // the one that was there is Canceled SelfMatch, whole; the other goes on
	CancelBoth   SelfMatch = 3
)

// Bounds of what an order may have.
const (
	MaxPrice    = 1<<24 - 1 // ticks
	MaxQuantity = 1 << 40   // lots
	MaxOpen     = 3500      // open orders of one account
)

// New is an order to enter. It is read during the call only.
type New struct {
	Account     Account
	ClientOrder ClientOrder
	Instrument  Instrument
	Side        Side
	Type        Type
	TIF         TimeInForce
	SelfMatch   SelfMatch
	PostOnly    bool   // refused with WouldExecute rather than that it executes on entry; Limit and Day, GTC, GTD only
	Price       uint32 // ticks; of Limit and StopLimit, else 0
	Stop        uint32 // ticks; of Stop and StopLimit, else 0
	Quantity    uint64 // lots
	MinQuantity uint64 // of IOC: it executes for that much at once or is Canceled NotFilled; 0: none
	Display     uint64 // of Limit with Day, GTC, GTD: what is shown at once; 0: all
	Expire      uint64 // of GTD: ns, after the stamp; else 0
}

// Replace asks for an open order to be as given. Side, instrument, type, time in force, expiry, PostOnly and SelfMatch
// stay as they are.
type Replace struct {
	Account        Account
	ClientOrder    ClientOrder // the order's present name
	NewClientOrder ClientOrder // may be the same
	Price          uint32
	Stop           uint32
	Quantity       uint64 // the total, with what has executed
	Display        uint64
}

// Cancel asks for an open order to be taken off, or to be made smaller.
type Cancel struct {
	Account     Account
	ClientOrder ClientOrder
	Quantity    uint64 // 0: take it off; else the total that is to stay, with what has executed
}

// State of an instrument.
type State uint8

// States. 0 is none.
const (
	Closed     State = 1 // nothing is taken; orders stay, Day orders do not
	Auction    State = 2 // orders are collected, nothing executes
	Continuous State = 3
	Halted     State = 4 // nothing is taken; orders stay
)

// Definition of an instrument. Out of range is refused with BadInstrument: id 1 .. Options.MaxInstruments, 1 <= Low <= High
// <= MaxPrice, MaxQuantity 1 .. Options.MaxQuantity, Collar <= MaxPrice, Reference 0 or Low .. High, a State.
type Definition struct {
	ID          Instrument
	Symbol      [16]byte // filled up with zeros; not looked at
	Low, High   uint32   // the band: every price and stop lies within
	MaxQuantity uint64   // of one order
	Collar      uint32   // ticks; 0: none
	Reference   uint32   // ticks: what the collar is measured from while there was no trade; 0: none
	State       State    // that it opens in
}

// Limits of an account. The zero Limits of an account mean that the default limits apply to it again.
type Limits struct {
	MaxOpen      uint32 // open orders, at most the constant MaxOpen; 0: Options.MaxOpen
	MaxQuantity  uint64 // of one order, at most the constant MaxQuantity; 0: no limit
	MessagesPerS uint32 // New and Replace a second, at most 10^9, with bursts of as many; 0: no limit
}

// Options are the limits of an engine. They change what is answered, so they must be the same on every node. Zero
// fields take the default.
type Options struct {
	Instruments    uint32 // 1 .. Instruments are there from the start: band 1 .. PriceLimit, Continuous; default 16
	MaxInstruments uint32 // highest number of an instrument; default 4096 (at least Instruments), at most 16384
	PriceLimit     uint32 // of the instruments that are there from the start; default 65535, at most MaxPrice
	MaxQuantity    uint64 // highest that a definition may have, and those from the start have; default 2^32, at most 2^40
	MaxOrders      int    // open at once, all instruments together; default 131072, at most 2^22
	MaxAccounts    int    // known at once; default 16384, at most 2^20
	MaxOpen        uint32 // open orders of an account that has no limit of its own; default 1024, at most the constant
	MaxFills       int    // looked at for one order, or by an auction's end in one call; default 1024, at most 3500
	MaxElections   int    // stops elected in one call; default 256, at most 256
}

// Reason is why something was refused. The numbers are those of the schema.
type Reason uint8

// Reasons.
const (
	None               Reason = 0
	Malformed          Reason = 1
	BadSide            Reason = 2
	BadPrice           Reason = 3
	BadQuantity        Reason = 4
	DuplicateOrder     Reason = 5
	UnknownOrder       Reason = 6
	TooManyOrders      Reason = 7
	UnknownInstrument  Reason = 8
	BadType            Reason = 9 // also a PostOnly that is not a Limit with Day, GTC, GTD, and a SelfMatch that is none
	BadTimeInForce     Reason = 10
	BadStop            Reason = 11
	BadDisplay         Reason = 12
	BadMinQuantity     Reason = 13
	BadExpiry          Reason = 14
	WouldExecute       Reason = 15
	Collar             Reason = 16
	TooLarge           Reason = 17
	TooManyOpen        Reason = 18
	Throttled          Reason = 19
	Killed             Reason = 20
	RefusedHalted      Reason = 21
	RefusedClosed      Reason = 22
	NotInAuction       Reason = 23
	Busy               Reason = 24
	BadState           Reason = 25
	BustUnsupported    Reason = 26
	TooManyAccounts    Reason = 27
	BadInstrument      Reason = 28
	TooManySubscribers Reason = 29
	NotFilled          Reason = 30 // of Check only: a FOK or minimum quantity that cannot be had
	BadAccount         Reason = 31
)

// CancelReason is why an order, or a part of it, was taken off.
type CancelReason uint8

// Reasons of cancels.
const (
	Requested         CancelReason = 1
	Unfilled          CancelReason = 2
	CanceledNotFilled CancelReason = 3
	CanceledSelfMatch CancelReason = 4
	TooManyFills      CancelReason = 5
	Expired           CancelReason = 6
	Disconnected      CancelReason = 7
	CanceledKilled    CancelReason = 8
	AuctionOver       CancelReason = 9
	ReducedAway       CancelReason = 10 // a Replace asked for no more than had executed
	MassCanceled      CancelReason = 11
	Collared          CancelReason = 12
)

// Kind of an event.
type Kind uint8

// Private events: for Event.Account.
const (
	EventAccepted     Kind = 1 // Order, Quantity (all of it), Left (what will rest or wait; 0: nothing)
	EventRejected     Kind = 2 // Reason; ClientOrder as sent (0 for a mass cancel)
	EventExecuted     Kind = 3 // Order, Execution, Price, Quantity, Left
	EventCanceled     Kind = 4 // Order, Quantity taken off, Cancel, Left
	EventReplaced     Kind = 5 // Order, OldClientOrder, ClientOrder (the new one), Quantity (the new total), Left (as Accepted)
	EventTriggered    Kind = 6 // Order, Left (what will rest; 0: nothing)
	EventMassCanceled Kind = 7 // Quantity: how many orders. ClientOrder 0, Instrument and Side as asked
)

// Public events: Account is 0, Number counts them from 1 over the whole engine without a gap.
const (
	// EventAdded puts an order at the end of its price's queue: Order, Side, Price, Quantity (what it shows). Of an order
	// that is in the queue (an iceberg in an auction): it shows that much now and keeps its place.
	EventAdded     Kind = 16
	EventReduced   Kind = 17 // Order, Side, Price, Quantity by which it shows less; it keeps its place
	EventDeleted   Kind = 18 // Order, Side, Price
	EventTraded    Kind = 19 // Execution, Order (resting; 0 in an uncross), Side (the resting one's), Price, Quantity
	EventState     Kind = 20 // State
	EventUncrossed Kind = 21 // Price, Quantity: what is about to execute, all at the one price
	EventDefined   Kind = 22 // State that it is in
)

// Public tells whether an event of that kind is for everybody.
func (k Kind) Public() bool { return k >= EventAdded }

// Event is one thing that somebody is told. Fields that a kind does not name are zero, but Instrument, which is set where
// the instrument is known (not in Rejected).
type Event struct {
	Kind           Kind
	Reason         Reason       // of Rejected
	Cancel         CancelReason // of Canceled
	Side           Side
	State          State
	Price          uint32
	Instrument     Instrument
	Account        Account // 0: public (or a refusal of account 0)
	ClientOrder    ClientOrder
	OldClientOrder ClientOrder
	Number         uint64 // of a public event
	Order          uint64 // numbered from 1 over the engine
	Execution      uint64 // numbered from 1 over the engine; the same for both sides and Traded
	Quantity       uint64
	Left           uint64 // open afterwards
}

// Level is one price of the book.
type Level struct {
	Price    uint32
	Orders   uint32
	Quantity uint64 // shown
}

// Open is an open order as it stands.
type Open struct {
	New             // as entered or last replaced; a Stop that was elected is a Limit with Stop 0; Quantity is Executed + Left
	Order    uint64 // number
	Executed uint64
	Left     uint64
	Shown    uint64 // of what is in the public book, else 0
}

// Book is what an engine does. Nothing in it keeps what it is given. nowNs is the stamp of the record and never goes back.
//
// What is done is appended to the events, in the order in which it happens, private and public ones mixed. Where a
// method returns a Reason other than None it has changed nothing (but the count of messages that Limits.MessagesPerS
// bounds, and that the account is known now). Enter, Replace, Cancel and MassCancel append a Rejected then; the others
// append nothing.
type Book interface {
	// Events since Reset; theirs until the next call.
	Events() []Event
	Reset()

	Enter(nowNs uint64, n *New) Reason
	Replace(nowNs uint64, r *Replace) Reason
	Cancel(c *Cancel) Reason
	// MassCancel takes off an account's orders, of one instrument or all (0), of one side or both (0): the highest order
	// number first. Canceled (MassCanceled) each, then one MassCanceled.
	MassCancel(account Account, instrument Instrument, side Side) Reason
	// Leave takes off all orders of an account, the highest order number first: Canceled (Disconnected) each.
	Leave(account Account)

	// The same, without effect: the Reason that the call would give; NotFilled for what would be Canceled NotFilled.
	CheckEnter(nowNs uint64, n *New) Reason
	CheckReplace(nowNs uint64, r *Replace) Reason
	CheckCancel(c *Cancel) Reason
	CheckMassCancel(account Account, instrument Instrument, side Side) Reason

	// Define makes an instrument, or makes it another one. Busy; BadInstrument. When only Collar, MaxQuantity and Reference
	// differ from the definition in force, state and last trade price stay, whatever is open. Otherwise nothing may be open
	// (else BadInstrument) and it begins anew: State as defined, no trade yet. Event Defined.
	Define(d *Definition) Reason
	// SetState changes an instrument's state, or that of all (0) that are not in that state yet, by ascending number.
	// BadState: not a state, or nothing would change; Busy: an instrument (with 0: any) has work pending; UnknownInstrument.
	SetState(nowNs uint64, id Instrument, s State) Reason
	// SetLimits sets the limits of an account, or the default limits (0). BadQuantity; TooManyAccounts.
	SetLimits(account Account, l Limits) Reason
	// Kill switches an account (or all: 0) off, or on again. Off: Killed is what New and Replace get, and open orders are
	// Canceled (Killed): an account's the highest number first and at once; all: by ascending instrument, in each the Day
	// orders by ascending number, then the others by ascending number, MaxFills a call. Switching what is switched that way
	// already does nothing. Busy: all are being taken off, and this is Kill(0, false). TooManyAccounts.
	Kill(account Account, on bool) Reason

	// Expire cancels GTD orders whose Expire is at or before now, by (Expire, order number), at most budget of them, and
	// returns how many. NextExpiry is the earliest Expire of all open orders.
	Expire(nowNs uint64, budget int) int
	NextExpiry() (atNs uint64, ok bool)
	// Pending tells that work is left: the caller is to call Continue in a record soon. Continue does some.
	Pending() bool
	Continue(nowNs uint64)

	// Depth appends the best n prices of a side: what is shown of limit orders that rest.
	Depth(dst []Level, id Instrument, side Side, n int) []Level
	// OpenOrders appends an account's open orders, the highest number first.
	OpenOrders(dst []Open, account Account) []Open
	// Lookup returns an instrument's definition, state, whether work of it is pending, and last trade price (0: none).
	Lookup(id Instrument) (d Definition, s State, busy bool, last uint32, ok bool)

	// Hash tells two states apart.
	Hash() uint64
}
