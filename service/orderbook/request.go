package orderbook

import (
	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service/orderbook/fb"
	"lockstep/service/orderbook/match"
	"lockstep/wire"
	"lockstep/wire/flat"
)

// Command says what a request asks for.
type Command = fb.OrderCommand

// The commands.
const (
	NewOrder           = fb.OrderCommandNewOrder
	CancelOrder        = fb.OrderCommandCancelOrder
	ReplaceOrder       = fb.OrderCommandReplaceOrder
	MassCancel         = fb.OrderCommandMassCancel
	Login              = fb.OrderCommandLogin
	Subscribe          = fb.OrderCommandSubscribe
	DepthRequest       = fb.OrderCommandDepthRequest
	InstrumentsRequest = fb.OrderCommandInstrumentsRequest
	DefineInstruments  = fb.OrderCommandDefineInstruments
	SetState           = fb.OrderCommandSetState
	SetLimits          = fb.OrderCommandSetLimits
	Kill               = fb.OrderCommandKill
	BustTrade          = fb.OrderCommandBustTrade
)

// Request is an OrderRequest, flat. The comments name the commands that a field is of.
type Request struct {
	Command     Command
	New         match.New          // NewOrder; the account is that of the session
	Cancel      match.Cancel       // CancelOrder, likewise
	Replace     match.Replace      // ReplaceOrder, likewise
	Instrument  match.Instrument   // MassCancel, Subscribe, DepthRequest, SetState; InstrumentsRequest: those after it
	Side        match.Side         // MassCancel; 0: both
	State       match.State        // SetState
	Account     match.Account      // Login, SetLimits, Kill
	Stay        bool               // Login: orders stay when the session ends
	Off         bool               // Subscribe, Kill
	Levels      uint32             // DepthRequest
	Limits      match.Limits       // SetLimits
	Execution   uint64             // BustTrade
	Definitions []match.Definition // DefineInstruments; Decode reuses the memory
}

// ClientOrder is the id of the order that a request is about; false when it is about none, or several.
func (q *Request) ClientOrder() (uint64, bool) {
	switch q.Command {
	case NewOrder:
		return uint64(q.New.ClientOrder), true
	case CancelOrder:
		return uint64(q.Cancel.ClientOrder), true
	case ReplaceOrder:
		return uint64(q.Replace.ClientOrder), true
	}
	return 0, false
}

// EncodeRequest encodes a request. It resets and reuses the builder, so the bytes are good until its next use; once the
// builder has grown nothing is allocated.
func EncodeRequest(b *flatbuffers.Builder, q *Request) []byte {
	b.Reset()
	return flat.Finish(b, byte(q.Command), q.encode(b))
}

func (q *Request) encode(b *flatbuffers.Builder) flatbuffers.UOffsetT {
	switch q.Command {
	case NewOrder:
		return encodeNew(b, &q.New)
	case CancelOrder:
		return encodeCancel(b, &q.Cancel)
	case ReplaceOrder:
		return encodeReplace(b, &q.Replace)
	case MassCancel:
		fb.MassCancelStart(b)
		fb.MassCancelAddInstrument(b, uint32(q.Instrument))
		fb.MassCancelAddSide(b, fb.Side(q.Side))
		return fb.MassCancelEnd(b)
	case Login:
		fb.LoginStart(b)
		fb.LoginAddAccount(b, uint64(q.Account))
		fb.LoginAddStay(b, q.Stay)
		return fb.LoginEnd(b)
	case Subscribe:
		fb.SubscribeStart(b)
		fb.SubscribeAddInstrument(b, uint32(q.Instrument))
		fb.SubscribeAddOff(b, q.Off)
		return fb.SubscribeEnd(b)
	case DepthRequest:
		fb.DepthRequestStart(b)
		fb.DepthRequestAddInstrument(b, uint32(q.Instrument))
		fb.DepthRequestAddLevels(b, q.Levels)
		return fb.DepthRequestEnd(b)
	}
	return q.encodeControl(b)
}

// encodeControl is encode for what is about instruments and accounts.
func (q *Request) encodeControl(b *flatbuffers.Builder) flatbuffers.UOffsetT {
	switch q.Command {
	case InstrumentsRequest:
		fb.InstrumentsRequestStart(b)
		fb.InstrumentsRequestAddAfter(b, uint32(q.Instrument))
		return fb.InstrumentsRequestEnd(b)
	case DefineInstruments:
		list := encodeDefinitions(b, q.Definitions)
		fb.DefineInstrumentsStart(b)
		fb.DefineInstrumentsAddInstruments(b, list)
		return fb.DefineInstrumentsEnd(b)
	case SetState:
		fb.SetStateStart(b)
		fb.SetStateAddInstrument(b, uint32(q.Instrument))
		fb.SetStateAddState(b, fb.State(q.State))
		return fb.SetStateEnd(b)
	case SetLimits:
		fb.SetLimitsStart(b)
		fb.SetLimitsAddAccount(b, uint64(q.Account))
		fb.SetLimitsAddMaxOpen(b, q.Limits.MaxOpen)
		fb.SetLimitsAddMaxQuantity(b, q.Limits.MaxQuantity)
		fb.SetLimitsAddMessagesPerSecond(b, q.Limits.MessagesPerS)
		return fb.SetLimitsEnd(b)
	case Kill:
		fb.KillStart(b)
		fb.KillAddAccount(b, uint64(q.Account))
		fb.KillAddOff(b, q.Off)
		return fb.KillEnd(b)
	}
	fb.BustTradeStart(b)
	fb.BustTradeAddExecution(b, q.Execution)
	return fb.BustTradeEnd(b)
}

func encodeNew(b *flatbuffers.Builder, n *match.New) flatbuffers.UOffsetT {
	fb.NewOrderStart(b)
	fb.NewOrderAddClientOrder(b, uint64(n.ClientOrder))
	fb.NewOrderAddQuantity(b, n.Quantity)
	fb.NewOrderAddMinQuantity(b, n.MinQuantity)
	fb.NewOrderAddDisplay(b, n.Display)
	fb.NewOrderAddExpire(b, n.Expire)
	fb.NewOrderAddInstrument(b, uint32(n.Instrument))
	fb.NewOrderAddPrice(b, n.Price)
	fb.NewOrderAddStop(b, n.Stop)
	fb.NewOrderAddSide(b, fb.Side(n.Side))
	fb.NewOrderAddType(b, fb.OrderType(n.Type))
	fb.NewOrderAddTimeInForce(b, fb.TimeInForce(n.TIF))
	fb.NewOrderAddSelfMatch(b, fb.SelfMatch(n.SelfMatch))
	fb.NewOrderAddPostOnly(b, n.PostOnly)
	return fb.NewOrderEnd(b)
}

func encodeCancel(b *flatbuffers.Builder, c *match.Cancel) flatbuffers.UOffsetT {
	fb.CancelOrderStart(b)
	fb.CancelOrderAddClientOrder(b, uint64(c.ClientOrder))
	fb.CancelOrderAddQuantity(b, c.Quantity)
	return fb.CancelOrderEnd(b)
}

func encodeReplace(b *flatbuffers.Builder, r *match.Replace) flatbuffers.UOffsetT {
	fb.ReplaceOrderStart(b)
	fb.ReplaceOrderAddClientOrder(b, uint64(r.ClientOrder))
	fb.ReplaceOrderAddNewClientOrder(b, uint64(r.NewClientOrder))
	fb.ReplaceOrderAddQuantity(b, r.Quantity)
	fb.ReplaceOrderAddDisplay(b, r.Display)
	fb.ReplaceOrderAddPrice(b, r.Price)
	fb.ReplaceOrderAddStop(b, r.Stop)
	return fb.ReplaceOrderEnd(b)
}

// encodeDefinitions encodes a vector of instruments, MaxListed of them at most.
func encodeDefinitions(b *flatbuffers.Builder, list []match.Definition) flatbuffers.UOffsetT {
	var offsets [MaxListed]flatbuffers.UOffsetT
	list = list[:min(len(list), MaxListed)]
	for i := range list {
		d := &list[i]
		symbol := b.CreateByteString(d.Symbol[:symbolLength(&d.Symbol)])
		fb.InstrumentStart(b)
		fb.InstrumentAddMaxQuantity(b, d.MaxQuantity)
		fb.InstrumentAddSymbol(b, symbol)
		fb.InstrumentAddId(b, uint32(d.ID))
		fb.InstrumentAddLow(b, d.Low)
		fb.InstrumentAddHigh(b, d.High)
		fb.InstrumentAddCollar(b, d.Collar)
		fb.InstrumentAddReference(b, d.Reference)
		fb.InstrumentAddState(b, fb.State(d.State))
		offsets[i] = fb.InstrumentEnd(b)
	}
	return flat.PutVector(b, offsets[:len(list)])
}

// symbolLength is how long a symbol is that is filled up with zeros.
func symbolLength(symbol *[16]byte) int {
	n := len(symbol)
	for n > 0 && symbol[n-1] == 0 {
		n--
	}
	return n
}

// DecodeRequest reads an OrderRequest from anywhere. It reports false when that is not one. Values are not judged,
// but that there are at most MaxListed instruments, and each has a symbol of at most 16 printable ASCII characters
// without a space.
func DecodeRequest(payload []byte, q *Request) bool {
	*q = Request{Definitions: q.Definitions[:0]}
	if len(payload) > wire.MaxRecord {
		return false
	}
	var table flatbuffers.Table
	kind, ok := flat.Open(payload, requestTable, &table)
	if !ok {
		return false
	}
	q.Command = Command(kind)
	switch q.Command {
	case NewOrder:
		decodeNew(&table, &q.New)
	case CancelOrder:
		t := fb.CancelOrder{}
		t.Init(table.Bytes, table.Pos)
		q.Cancel.ClientOrder, q.Cancel.Quantity = match.ClientOrder(t.ClientOrder()), t.Quantity()
	case ReplaceOrder:
		t := fb.ReplaceOrder{}
		t.Init(table.Bytes, table.Pos)
		q.Replace = match.Replace{ClientOrder: match.ClientOrder(t.ClientOrder()),
			NewClientOrder: match.ClientOrder(t.NewClientOrder()), Price: t.Price(), Stop: t.Stop(), Quantity: t.Quantity(),
			Display: t.Display()}
	case MassCancel:
		t := fb.MassCancel{}
		t.Init(table.Bytes, table.Pos)
		q.Instrument, q.Side = match.Instrument(t.Instrument()), match.Side(t.Side())
	case Login:
		t := fb.Login{}
		t.Init(table.Bytes, table.Pos)
		q.Account, q.Stay = match.Account(t.Account()), t.Stay()
	case Subscribe:
		t := fb.Subscribe{}
		t.Init(table.Bytes, table.Pos)
		q.Instrument, q.Off = match.Instrument(t.Instrument()), t.Off()
	case DepthRequest:
		t := fb.DepthRequest{}
		t.Init(table.Bytes, table.Pos)
		q.Instrument, q.Levels = match.Instrument(t.Instrument()), t.Levels()
	default:
		return q.decodeControl(&table)
	}
	return true
}

// decodeControl is DecodeRequest for what is about instruments and accounts.
func (q *Request) decodeControl(table *flatbuffers.Table) bool {
	switch q.Command {
	case InstrumentsRequest:
		t := fb.InstrumentsRequest{}
		t.Init(table.Bytes, table.Pos)
		q.Instrument = match.Instrument(t.After())
	case DefineInstruments:
		t := fb.DefineInstruments{}
		t.Init(table.Bytes, table.Pos)
		var ok bool
		q.Definitions, ok = decodeDefinitions(q.Definitions, t.InstrumentsLength(), t.Instruments)
		return ok
	case SetState:
		t := fb.SetState{}
		t.Init(table.Bytes, table.Pos)
		q.Instrument, q.State = match.Instrument(t.Instrument()), match.State(t.State())
	case SetLimits:
		t := fb.SetLimits{}
		t.Init(table.Bytes, table.Pos)
		q.Account = match.Account(t.Account())
		q.Limits = match.Limits{MaxOpen: t.MaxOpen(), MaxQuantity: t.MaxQuantity(), MessagesPerS: t.MessagesPerSecond()}
	case Kill:
		t := fb.Kill{}
		t.Init(table.Bytes, table.Pos)
		q.Account, q.Off = match.Account(t.Account()), t.Off()
	case BustTrade:
		t := fb.BustTrade{}
		t.Init(table.Bytes, table.Pos)
		q.Execution = t.Execution()
	default:
		return false
	}
	return true
}

func decodeNew(table *flatbuffers.Table, n *match.New) {
	t := fb.NewOrder{}
	t.Init(table.Bytes, table.Pos)
	n.ClientOrder, n.Instrument = match.ClientOrder(t.ClientOrder()), match.Instrument(t.Instrument())
	n.Side, n.Type, n.TIF = match.Side(t.Side()), match.Type(t.Type()), match.TimeInForce(t.TimeInForce())
	n.SelfMatch, n.PostOnly = match.SelfMatch(t.SelfMatch()), t.PostOnly()
	n.Price, n.Stop = t.Price(), t.Stop()
	n.Quantity, n.MinQuantity, n.Display, n.Expire = t.Quantity(), t.MinQuantity(), t.Display(), t.Expire()
}

// decodeDefinitions appends the instruments of a vector.
func decodeDefinitions(dst []match.Definition, n int, at func(*fb.Instrument, int) bool) ([]match.Definition, bool) {
	if n > MaxListed {
		return dst, false
	}
	for i := range n {
		var t fb.Instrument
		if !at(&t, i) {
			return dst, false
		}
		d := match.Definition{ID: match.Instrument(t.Id()), Low: t.Low(), High: t.High(), MaxQuantity: t.MaxQuantity(),
			Collar: t.Collar(), Reference: t.Reference(), State: match.State(t.State())}
		symbol := t.Symbol()
		if len(symbol) > len(d.Symbol) {
			return dst, false
		}
		for j, c := range symbol {
			if c <= ' ' || c > '~' {
				return dst, false
			}
			d.Symbol[j] = c
		}
		dst = append(dst, d)
	}
	return dst, true
}
