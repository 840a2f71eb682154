package inspect

import (
	"strings"
	"time"

	"lockstep/service/orderbook"
	"lockstep/service/orderbook/fb"
	"lockstep/service/orderbook/match"
)

// Order is a message to the order book. Action names the command: new, cancel, replace, mass-cancel, login,
// subscribe, depth, instruments, define, state, limits, kill, bust; the others are its fields, absent when 0.
type Order struct {
	Action         string           `json:"action"`
	ClientOrder    uint64           `json:"client_order,omitempty"`
	NewClientOrder uint64           `json:"new_client_order,omitempty"`
	Account        uint64           `json:"account,omitempty"`
	Instrument     uint32           `json:"instrument,omitempty"`
	Side           string           `json:"side,omitempty"`
	Type           string           `json:"type,omitempty"`
	TimeInForce    string           `json:"time_in_force,omitempty"`
	SelfMatch      string           `json:"self_match,omitempty"`
	PostOnly       bool             `json:"post_only,omitempty"`
	Price          uint32           `json:"price,omitempty"`
	Stop           uint32           `json:"stop,omitempty"`
	Quantity       uint64           `json:"quantity,omitempty"`
	MinQuantity    uint64           `json:"min_quantity,omitempty"`
	Display        uint64           `json:"display,omitempty"`
	Expire         string           `json:"expire,omitempty"`
	State          string           `json:"state,omitempty"`
	Stay           bool             `json:"stay,omitempty"`
	Off            bool             `json:"off,omitempty"`
	Levels         uint32           `json:"levels,omitempty"`
	After          uint32           `json:"after,omitempty"`
	Limits         *OrderLimits     `json:"limits,omitempty"`
	Execution      uint64           `json:"execution,omitempty"`
	Instruments    []InstrumentView `json:"instruments,omitempty"`
}

// OrderLimits are the limits of an account.
type OrderLimits struct {
	MaxOpen           uint32 `json:"max_open"`
	MaxQuantity       uint64 `json:"max_quantity"`
	MessagesPerSecond uint32 `json:"messages_per_second"`
}

// InstrumentView is the definition of an instrument.
type InstrumentView struct {
	ID          uint32 `json:"id"`
	Symbol      string `json:"symbol,omitempty"`
	Low         uint32 `json:"low"`
	High        uint32 `json:"high"`
	MaxQuantity uint64 `json:"max_quantity"`
	Collar      uint32 `json:"collar,omitempty"`
	Reference   uint32 `json:"reference,omitempty"`
	State       string `json:"state"`
}

// Report is an answer of the order book. Kind names it: accepted, rejected, executed, canceled, replaced, triggered,
// mass-canceled, logged-in, logged-out, subscribed, market, depth, instruments, done; the others are its fields,
// absent when 0.
type Report struct {
	Kind           string           `json:"kind"`
	ClientOrder    uint64           `json:"client_order,omitempty"`
	NewClientOrder uint64           `json:"new_client_order,omitempty"`
	Order          uint64           `json:"order,omitempty"`
	Reason         string           `json:"reason,omitempty"`
	Instrument     uint32           `json:"instrument,omitempty"`
	Side           string           `json:"side,omitempty"`
	Execution      uint64           `json:"execution,omitempty"`
	Price          uint32           `json:"price,omitempty"`
	Quantity       uint64           `json:"quantity,omitempty"`
	Left           uint64           `json:"left,omitempty"`    // executed, canceled
	Resting        uint64           `json:"resting,omitempty"` // accepted, replaced, triggered
	Account        uint64           `json:"account,omitempty"`
	Count          uint32           `json:"count,omitempty"`
	Off            bool             `json:"off,omitempty"`
	Next           uint64           `json:"next,omitempty"`
	State          string           `json:"state,omitempty"`
	Last           uint32           `json:"last,omitempty"`
	LeftOut        uint32           `json:"left_out,omitempty"`
	Events         []MarketView     `json:"events,omitempty"`
	Bids           []LevelView      `json:"bids,omitempty"`
	Asks           []LevelView      `json:"asks,omitempty"`
	Instruments    []InstrumentView `json:"instruments,omitempty"`
}

// MarketView is a market event. Kind: added, reduced, deleted, traded, state, uncrossed, defined.
type MarketView struct {
	Number     uint64 `json:"number"`
	Kind       string `json:"kind"`
	Instrument uint32 `json:"instrument"`
	Order      uint64 `json:"order,omitempty"`
	Execution  uint64 `json:"execution,omitempty"`
	Side       string `json:"side,omitempty"`
	Price      uint32 `json:"price,omitempty"`
	Quantity   uint64 `json:"quantity,omitempty"`
	State      string `json:"state,omitempty"`
}

// LevelView is one price of a book.
type LevelView struct {
	Price    uint32 `json:"price"`
	Quantity uint64 `json:"quantity"`
	Orders   uint32 `json:"orders"`
}

// actions are the names of the order book's commands.
var actions = map[orderbook.Command]string{orderbook.NewOrder: "new", orderbook.CancelOrder: "cancel",
	orderbook.ReplaceOrder: "replace", orderbook.MassCancel: "mass-cancel", orderbook.Login: "login",
	orderbook.Subscribe: "subscribe", orderbook.DepthRequest: "depth", orderbook.InstrumentsRequest: "instruments",
	orderbook.DefineInstruments: "define", orderbook.SetState: "state", orderbook.SetLimits: "limits",
	orderbook.Kill:      "kill",
	orderbook.BustTrade: "bust"}

// reports are the names of the order book's answers.
var reports = map[orderbook.EventKind]string{orderbook.Accepted: "accepted", orderbook.Rejected: "rejected",
	orderbook.Executed: "executed", orderbook.Canceled: "canceled", orderbook.Replaced: "replaced",
	orderbook.Triggered: "triggered", orderbook.MassCanceled: "mass-canceled", orderbook.LoggedIn: "logged-in",
	orderbook.LoggedOut: "logged-out", orderbook.Subscribed: "subscribed", orderbook.MarketEvents: "market",
	orderbook.Depth: "depth", orderbook.Instruments: "instruments", orderbook.Done: "done"}

// SideName is buy or sell; nothing for none.
func SideName(s match.Side) string {
	if s == 0 {
		return ""
	}
	return strings.ToLower(fb.Side(s).String())
}

// StateName is closed, auction, continuous or halted; nothing for none.
func StateName(s match.State) string {
	if s == 0 {
		return ""
	}
	return strings.ToLower(fb.State(s).String())
}

// ViewOrder is a message to the order book as JSON shows it; nil: it is none.
func ViewOrder(payload []byte) *Order {
	var q orderbook.Request
	if !orderbook.DecodeRequest(payload, &q) {
		return nil
	}
	v := &Order{Action: actions[q.Command], Account: uint64(q.Account), Instrument: uint32(q.Instrument),
		Side:  SideName(q.Side),
		State: StateName(q.State), Stay: q.Stay, Off: q.Off, Levels: q.Levels, Execution: q.Execution,
		Instruments: viewInstruments(q.Definitions)}
	switch q.Command {
	case orderbook.NewOrder:
		v.readNew(&q.New)
	case orderbook.CancelOrder:
		v.ClientOrder, v.Quantity = uint64(q.Cancel.ClientOrder), q.Cancel.Quantity
	case orderbook.ReplaceOrder:
		r := &q.Replace
		v.ClientOrder, v.NewClientOrder = uint64(r.ClientOrder), uint64(r.NewClientOrder)
		v.Price, v.Stop, v.Quantity, v.Display = r.Price, r.Stop, r.Quantity, r.Display
	case orderbook.InstrumentsRequest:
		v.Instrument, v.After = 0, uint32(q.Instrument)
	case orderbook.SetLimits:
		v.Limits = &OrderLimits{q.Limits.MaxOpen, q.Limits.MaxQuantity, q.Limits.MessagesPerS}
	}
	return v
}

// readNew fills in a new order. A limit order, day, and that orders of one account meet go without saying.
func (v *Order) readNew(n *match.New) {
	v.ClientOrder, v.Instrument, v.Side = uint64(n.ClientOrder), uint32(n.Instrument), SideName(n.Side)
	v.PostOnly, v.Price, v.Stop = n.PostOnly, n.Price, n.Stop
	v.Quantity, v.MinQuantity, v.Display = n.Quantity, n.MinQuantity, n.Display
	if n.Type != match.Limit {
		v.Type = fb.OrderType(n.Type).String()
	}
	if n.TIF != match.Day {
		v.TimeInForce = fb.TimeInForce(n.TIF).String()
	}
	if n.SelfMatch != match.Allow {
		v.SelfMatch = fb.SelfMatch(n.SelfMatch).String()
	}
	if n.Expire != 0 {
		v.Expire = time.Unix(0, int64(n.Expire)).UTC().Format(time.RFC3339Nano)
	}
}

// ViewReport is an answer of the order book as JSON shows it; nil: it is none.
func ViewReport(payload []byte) *Report {
	var e orderbook.Event
	if !orderbook.DecodeEvent(payload, &e) {
		return nil
	}
	v := &Report{Kind: reports[e.Kind], ClientOrder: e.ClientOrder, NewClientOrder: e.NewClientOrder, Order: e.Order,
		Instrument: e.Instrument, Side: SideName(e.Side), Execution: e.Execution, Price: e.Price, Quantity: e.Quantity,
		Left:    e.Left,
		Account: e.Account, Count: e.Count, Off: e.Off, Next: e.Next, State: StateName(e.State), Last: e.Last,
		Bids: viewLevels(e.Bids), Asks: viewLevels(e.Asks), Instruments: viewInstruments(e.Definitions)}
	switch e.Kind {
	case orderbook.Rejected:
		v.Reason = fb.Reject(e.Reason).String()
	case orderbook.Canceled:
		v.Reason = fb.CancelReason(e.Cancel).String()
	case orderbook.Accepted, orderbook.Replaced, orderbook.Triggered:
		v.Left, v.Resting = 0, e.Left
	case orderbook.MarketEvents:
		v.Count, v.LeftOut = 0, e.Count
		v.Events = viewMarket(e.Market)
	}
	return v
}

func viewMarket(list []match.Event) (views []MarketView) {
	for i := range list {
		x := &list[i]
		kind := strings.ToLower(fb.MarketKind(x.Kind - match.EventAdded + 1).String())
		views = append(views, MarketView{Number: x.Number, Kind: kind, Instrument: uint32(x.Instrument), Order: x.Order,
			Execution: x.Execution, Side: SideName(x.Side), Price: x.Price, Quantity: x.Quantity, State: StateName(x.State)})
	}
	return views
}

func viewLevels(list []match.Level) (views []LevelView) {
	for _, l := range list {
		views = append(views, LevelView{l.Price, l.Quantity, l.Orders})
	}
	return views
}

func viewInstruments(list []match.Definition) (views []InstrumentView) {
	for i := range list {
		d := &list[i]
		views = append(views, InstrumentView{ID: uint32(d.ID), Symbol: strings.TrimRight(string(d.Symbol[:]), "\x00"),
			Low:  d.Low,
			High: d.High, MaxQuantity: d.MaxQuantity, Collar: d.Collar, Reference: d.Reference, State: StateName(d.State)})
	}
	return views
}
