package orderbook

import (
	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/wire"
	"lockstep/wire/fb"
)

// Request is an OrderRequest, flat: a new order, or with Cancel a cancel (then Side, Price and Quantity are 0).
type Request struct {
	Cancel      bool
	Side        fb.Side
	Instrument  uint32
	ClientOrder uint64
	Price       uint64 // ticks
	Quantity    uint64 // lots
}

// EventKind says what an event reports.
type EventKind = fb.OrderReport

// The kinds of events.
const (
	Accepted = fb.OrderReportAccepted
	Rejected = fb.OrderReportRejected
	Executed = fb.OrderReportExecuted
	Canceled = fb.OrderReportCanceled
)

// Event is an OrderEvent, flat. The comments name the kinds that a field is of.
type Event struct {
	Kind        EventKind
	Reason      fb.OrderReject // Rejected
	ClientOrder uint64         // all
	Order       uint64         // all but Rejected: the book's number, dense from 1
	Execution   uint64         // Executed: dense from 1, the same for both sides
	Price       uint64         // Executed: ticks
	Quantity    uint64         // Accepted: what will rest on the book; Executed; Canceled: what was taken off
	Left        uint64         // Executed: what is left of this order
}

// The encoders below reset and reuse the builder, so what they return is good until its next use; once the builder
// has grown they do not allocate.

// NewOrderRequest encodes a new order.
func NewOrderRequest(
	b *flatbuffers.Builder, clientOrder uint64, instrument uint32, side fb.Side, price, quantity uint64,
) []byte {
	b.Reset()
	fb.NewOrderStart(b)
	fb.NewOrderAddClientOrder(b, clientOrder)
	fb.NewOrderAddPrice(b, price)
	fb.NewOrderAddQuantity(b, quantity)
	fb.NewOrderAddInstrument(b, instrument)
	fb.NewOrderAddSide(b, side)
	return finishRequest(b, fb.OrderCommandNewOrder, fb.NewOrderEnd(b))
}

// CancelOrderRequest encodes the cancel of the session's own order of that client order id.
func CancelOrderRequest(b *flatbuffers.Builder, clientOrder uint64, instrument uint32) []byte {
	b.Reset()
	fb.CancelOrderStart(b)
	fb.CancelOrderAddClientOrder(b, clientOrder)
	fb.CancelOrderAddInstrument(b, instrument)
	return finishRequest(b, fb.OrderCommandCancelOrder, fb.CancelOrderEnd(b))
}

func finishRequest(b *flatbuffers.Builder, kind fb.OrderCommand, command flatbuffers.UOffsetT) []byte {
	fb.OrderRequestStart(b)
	fb.OrderRequestAddCommand(b, command)
	fb.OrderRequestAddCommandType(b, kind)
	b.Finish(fb.OrderRequestEnd(b))
	return b.FinishedBytes()
}

// DecodeRequest reads an OrderRequest from anywhere. It reports false when that is not one.
func DecodeRequest(payload []byte, q *Request) bool {
	*q = Request{}
	if !wire.VerifyOrderRequest(payload) {
		return false
	}
	var root fb.OrderRequest
	var command flatbuffers.Table
	root.Init(payload, flatbuffers.GetUOffsetT(payload))
	if !root.Command(&command) {
		return false
	}
	switch root.CommandType() {
	case fb.OrderCommandNewOrder:
		var t fb.NewOrder
		t.Init(command.Bytes, command.Pos)
		q.ClientOrder, q.Instrument, q.Side = t.ClientOrder(), t.Instrument(), t.Side()
		q.Price, q.Quantity = t.Price(), t.Quantity()
	case fb.OrderCommandCancelOrder:
		var t fb.CancelOrder
		t.Init(command.Bytes, command.Pos)
		q.Cancel, q.ClientOrder, q.Instrument = true, t.ClientOrder(), t.Instrument()
	default:
		return false
	}
	return true
}

// DecodeEvent reads an OrderEvent from anywhere. It reports false when that is not one.
func DecodeEvent(payload []byte, e *Event) bool {
	*e = Event{}
	if !wire.VerifyOrderEvent(payload) {
		return false
	}
	var root fb.OrderEvent
	var report flatbuffers.Table
	root.Init(payload, flatbuffers.GetUOffsetT(payload))
	if !root.Report(&report) {
		return false
	}
	e.Kind = root.ReportType()
	switch e.Kind {
	case Accepted:
		var t fb.Accepted
		t.Init(report.Bytes, report.Pos)
		e.ClientOrder, e.Order, e.Quantity = t.ClientOrder(), t.Order(), t.Resting()
	case Rejected:
		var t fb.Rejected
		t.Init(report.Bytes, report.Pos)
		e.ClientOrder, e.Reason = t.ClientOrder(), t.Reason()
	case Executed:
		var t fb.Executed
		t.Init(report.Bytes, report.Pos)
		e.ClientOrder, e.Order, e.Execution = t.ClientOrder(), t.Order(), t.Execution()
		e.Price, e.Quantity, e.Left = t.Price(), t.Quantity(), t.Left()
	case Canceled:
		var t fb.Canceled
		t.Init(report.Bytes, report.Pos)
		e.ClientOrder, e.Order, e.Quantity = t.ClientOrder(), t.Order(), t.Quantity()
	default:
		return false
	}
	return true
}

func encodeAccepted(b *flatbuffers.Builder, clientOrder, order, resting uint64) []byte {
	b.Reset()
	fb.AcceptedStart(b)
	fb.AcceptedAddClientOrder(b, clientOrder)
	fb.AcceptedAddOrder(b, order)
	fb.AcceptedAddResting(b, resting)
	return finishEvent(b, Accepted, fb.AcceptedEnd(b))
}

func encodeRejected(b *flatbuffers.Builder, clientOrder uint64, reason fb.OrderReject) []byte {
	b.Reset()
	fb.RejectedStart(b)
	fb.RejectedAddClientOrder(b, clientOrder)
	fb.RejectedAddReason(b, reason)
	return finishEvent(b, Rejected, fb.RejectedEnd(b))
}

func encodeExecuted(b *flatbuffers.Builder, e *Event) []byte {
	b.Reset()
	fb.ExecutedStart(b)
	fb.ExecutedAddClientOrder(b, e.ClientOrder)
	fb.ExecutedAddOrder(b, e.Order)
	fb.ExecutedAddExecution(b, e.Execution)
	fb.ExecutedAddPrice(b, e.Price)
	fb.ExecutedAddQuantity(b, e.Quantity)
	fb.ExecutedAddLeft(b, e.Left)
	return finishEvent(b, Executed, fb.ExecutedEnd(b))
}

func encodeCanceled(b *flatbuffers.Builder, clientOrder, order, quantity uint64) []byte {
	b.Reset()
	fb.CanceledStart(b)
	fb.CanceledAddClientOrder(b, clientOrder)
	fb.CanceledAddOrder(b, order)
	fb.CanceledAddQuantity(b, quantity)
	return finishEvent(b, Canceled, fb.CanceledEnd(b))
}

func finishEvent(b *flatbuffers.Builder, kind fb.OrderReport, report flatbuffers.UOffsetT) []byte {
	fb.OrderEventStart(b)
	fb.OrderEventAddReport(b, report)
	fb.OrderEventAddReportType(b, kind)
	b.Finish(fb.OrderEventEnd(b))
	return b.FinishedBytes()
}
