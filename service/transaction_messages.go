package service

import (
	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service/fb"
	"lockstep/wire/flat"
)

// MaxCommands is how many commands a transaction may have, at most one for each service.
const MaxCommands = 8

// The tables of transaction.fbs.
var (
	commandTable            = flat.Table{flat.U16, flat.Bytes}
	transactionTable        = flat.Table{flat.Tables(commandTable)}
	committedTable          = flat.Table{flat.U32}
	abortedTable            = flat.Table{flat.U32, flat.U16, flat.U8, flat.Bytes}
	transactionOutcomeTable = flat.Table{flat.UnionType, flat.Union(committedTable, abortedTable)}
)

// Part is one command of a transaction: a message of that service.
type Part struct {
	Service uint16
	Payload []byte
}

// TransactionRequest makes the message that carries commands for several services, applied as one (service
// Transaction). It is b's memory.
func TransactionRequest(b *flatbuffers.Builder, parts []Part) []byte {
	b.Reset()
	var at [MaxCommands]flatbuffers.UOffsetT
	commands := at[:0]
	for i := range parts {
		payload := b.CreateByteVector(parts[i].Payload)
		fb.CommandStart(b)
		fb.CommandAddService(b, parts[i].Service)
		fb.CommandAddPayload(b, payload)
		commands = append(commands, fb.CommandEnd(b))
	}
	vector := flat.PutVector(b, commands)
	fb.TransactionRequestStart(b)
	fb.TransactionRequestAddCommands(b, vector)
	b.Finish(fb.TransactionRequestEnd(b))
	return b.FinishedBytes()
}

// DecodeTransaction takes the commands of a transaction apart into parts, whose payloads are views of the message. It
// reports false when the table does not verify; n counts on where there are more commands than parts has room for.
func DecodeTransaction(payload []byte, parts *[MaxCommands]Part) (n int, ok bool) {
	if !flat.Verify(payload, transactionTable) {
		return 0, false
	}
	root := fb.GetRootAsTransactionRequest(payload, 0)
	n = root.CommandsLength()
	var c fb.Command
	for i := 0; i < min(n, MaxCommands); i++ {
		root.Commands(&c, i)
		parts[i] = Part{Service: c.Service(), Payload: c.PayloadBytes()}
	}
	return n, true
}

// Outcome is what became of a transaction: the first response to its message.
type Outcome struct {
	Committed bool
	Count     int            // committed: commands; the responses of their services follow, each with its service's number
	Index     int            // aborted: of the command, from 0
	Service   uint16         // for which that is
	Reason    fb.AbortReason // why
	Refusal   []byte         // reason Refused: the response that the service would have given; a view
}

// DecodeOutcome reads a response of service Transaction; false when it is none.
func DecodeOutcome(payload []byte, o *Outcome) bool {
	var t flatbuffers.Table
	kind, ok := flat.Open(payload, transactionOutcomeTable, &t)
	if !ok {
		return false
	}
	if fb.Outcome(kind) == fb.OutcomeCommitted {
		var c fb.Committed
		c.Init(t.Bytes, t.Pos)
		*o = Outcome{Committed: true, Count: int(c.Count())}
		return true
	}
	var a fb.Aborted
	a.Init(t.Bytes, t.Pos)
	*o = Outcome{Index: int(a.Index()), Service: a.Service(), Reason: a.Reason(), Refusal: a.RefusalBytes()}
	return true
}

// EncodeOutcome makes the response of service Transaction. It is b's memory.
func EncodeOutcome(b *flatbuffers.Builder, o *Outcome) []byte {
	b.Reset()
	kind, outcome := fb.OutcomeCommitted, flatbuffers.UOffsetT(0)
	if o.Committed {
		fb.CommittedStart(b)
		fb.CommittedAddCount(b, uint32(o.Count))
		outcome = fb.CommittedEnd(b)
	} else {
		refusal := flatbuffers.UOffsetT(0)
		if len(o.Refusal) > 0 && len(o.Refusal) <= maxRefusal {
			refusal = b.CreateByteVector(o.Refusal)
		}
		fb.AbortedStart(b)
		fb.AbortedAddIndex(b, uint32(o.Index))
		fb.AbortedAddRefusal(b, refusal)
		fb.AbortedAddService(b, o.Service)
		fb.AbortedAddReason(b, o.Reason)
		kind, outcome = fb.OutcomeAborted, fb.AbortedEnd(b)
	}
	return flat.Finish(b, byte(kind), outcome)
}

// maxRefusal is the longest refusal that finds room in a response, beside the tables around it.
const maxRefusal = MaxResponse - 128
