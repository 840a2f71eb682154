package wire

import (
	"encoding/binary"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
	"lockstep/wire/fb"
)

// newOrder builds a request to enter an order, every field other than its default.
func newOrder() []byte {
	b := flatbuffers.NewBuilder(128)
	fb.NewOrderStart(b)
	fb.NewOrderAddClientOrder(b, 0x1111111111111111)
	fb.NewOrderAddInstrument(b, 0x22222222)
	fb.NewOrderAddSide(b, fb.SideSell)
	fb.NewOrderAddPrice(b, 0x3333333333333333)
	fb.NewOrderAddQuantity(b, 0x4444444444444444)
	return request(b, fb.OrderCommandNewOrder, fb.NewOrderEnd(b))
}

func cancelOrder() []byte {
	b := flatbuffers.NewBuilder(128)
	fb.CancelOrderStart(b)
	fb.CancelOrderAddClientOrder(b, 7)
	fb.CancelOrderAddInstrument(b, 8)
	return request(b, fb.OrderCommandCancelOrder, fb.CancelOrderEnd(b))
}

// emptyOrder builds a request whose command has no field: all are at their defaults.
func emptyOrder() []byte {
	b := flatbuffers.NewBuilder(128)
	fb.NewOrderStart(b)
	return request(b, fb.OrderCommandNewOrder, fb.NewOrderEnd(b))
}

func request(b *flatbuffers.Builder, kind fb.OrderCommand, command flatbuffers.UOffsetT) []byte {
	fb.OrderRequestStart(b)
	fb.OrderRequestAddCommandType(b, kind)
	fb.OrderRequestAddCommand(b, command)
	b.Finish(fb.OrderRequestEnd(b))
	return b.FinishedBytes()
}

// events builds one event of every kind.
func events() [][]byte {
	var all [][]byte
	for kind := fb.OrderReportAccepted; kind <= fb.OrderReportCanceled; kind++ {
		b := flatbuffers.NewBuilder(128)
		var report flatbuffers.UOffsetT
		switch kind {
		case fb.OrderReportAccepted:
			fb.AcceptedStart(b)
			fb.AcceptedAddClientOrder(b, 1)
			fb.AcceptedAddOrder(b, 2)
			fb.AcceptedAddResting(b, 3)
			report = fb.AcceptedEnd(b)
		case fb.OrderReportRejected:
			fb.RejectedStart(b)
			fb.RejectedAddClientOrder(b, 1)
			fb.RejectedAddReason(b, fb.OrderRejectBadPrice)
			report = fb.RejectedEnd(b)
		case fb.OrderReportExecuted:
			fb.ExecutedStart(b)
			fb.ExecutedAddClientOrder(b, 1)
			fb.ExecutedAddOrder(b, 2)
			fb.ExecutedAddExecution(b, 3)
			fb.ExecutedAddPrice(b, 4)
			fb.ExecutedAddQuantity(b, 5)
			fb.ExecutedAddLeft(b, 6)
			report = fb.ExecutedEnd(b)
		case fb.OrderReportCanceled:
			fb.CanceledStart(b)
			fb.CanceledAddClientOrder(b, 1)
			fb.CanceledAddOrder(b, 2)
			fb.CanceledAddQuantity(b, 3)
			report = fb.CanceledEnd(b)
		}
		fb.OrderEventStart(b)
		fb.OrderEventAddReportType(b, kind)
		fb.OrderEventAddReport(b, report)
		b.Finish(fb.OrderEventEnd(b))
		all = append(all, b.FinishedBytes())
	}
	return all
}

// readRequest uses every accessor of a request, and adds what they say so that none is left out by the compiler.
func readRequest(b []byte) (sum uint64) {
	r := fb.GetRootAsOrderRequest(b, 0)
	var t flatbuffers.Table
	if !r.Command(&t) {
		panic("a verified request without a command")
	}
	switch r.CommandType() {
	case fb.OrderCommandNewOrder:
		var x fb.NewOrder
		x.Init(t.Bytes, t.Pos)
		return x.ClientOrder() + uint64(x.Instrument()) + uint64(x.Side()) + x.Price() + x.Quantity()
	case fb.OrderCommandCancelOrder:
		var x fb.CancelOrder
		x.Init(t.Bytes, t.Pos)
		return x.ClientOrder() + uint64(x.Instrument())
	}
	panic("a verified request of an unknown type")
}

// readEvent uses every accessor of an event.
func readEvent(b []byte) (sum uint64) {
	e := fb.GetRootAsOrderEvent(b, 0)
	var t flatbuffers.Table
	if !e.Report(&t) {
		panic("a verified event without a report")
	}
	switch e.ReportType() {
	case fb.OrderReportAccepted:
		var x fb.Accepted
		x.Init(t.Bytes, t.Pos)
		return x.ClientOrder() + x.Order() + x.Resting()
	case fb.OrderReportRejected:
		var x fb.Rejected
		x.Init(t.Bytes, t.Pos)
		return x.ClientOrder() + uint64(x.Reason())
	case fb.OrderReportExecuted:
		var x fb.Executed
		x.Init(t.Bytes, t.Pos)
		return x.ClientOrder() + x.Order() + x.Execution() + x.Price() + x.Quantity() + x.Left()
	case fb.OrderReportCanceled:
		var x fb.Canceled
		x.Init(t.Bytes, t.Pos)
		return x.ClientOrder() + x.Order() + x.Quantity()
	}
	panic("a verified event of an unknown type")
}

func TestGoodTablesVerify(t *testing.T) {
	for i, b := range [][]byte{newOrder(), cancelOrder(), emptyOrder()} {
		if !VerifyOrderRequest(b) {
			t.Errorf("request %d does not verify", i)
		} else {
			readRequest(b)
		}
	}
	for i, b := range events() {
		if !VerifyOrderEvent(b) {
			t.Errorf("event %d does not verify", i)
		} else if want := []uint64{6, 4, 21, 6}[i]; readEvent(b) != want {
			t.Errorf("event %d reads as %d, want %d", i, readEvent(b), want)
		}
	}
}

// TestCutTablesDoNotVerify cuts a table at every length: everything in it is referred to from its start.
func TestCutTablesDoNotVerify(t *testing.T) {
	for i, b := range append(events(), newOrder(), cancelOrder()) {
		verify := VerifyOrderEvent
		if i >= len(events()) {
			verify = VerifyOrderRequest
		}
		for n := range b {
			if verify(b[:n:n]) {
				t.Errorf("table %d of %d bytes verifies when cut to %d", i, len(b), n)
			}
		}
	}
}

// TestDamagedTables changes every 16-bit word of every buffer to values around every limit. What still verifies must
// be readable; at least some must be refused.
func TestDamagedTables(t *testing.T) {
	damage := func(b []byte, verify func([]byte) bool, read func([]byte) uint64) (refused int) {
		for at := 0; at+2 <= len(b); at++ {
			old := binary.LittleEndian.Uint16(b[at:])
			for value := range 1 << 16 {
				if value > 300 && value < 0x7ff0 || value > 0x8010 && value < 0xff00 {
					continue
				}
				binary.LittleEndian.PutUint16(b[at:], uint16(value))
				if verify(b) {
					read(b)
				} else {
					refused++
				}
			}
			binary.LittleEndian.PutUint16(b[at:], old)
		}
		return refused
	}
	for _, b := range [][]byte{newOrder(), cancelOrder(), emptyOrder()} {
		if damage(b, VerifyOrderRequest, readRequest) == 0 {
			t.Error("nothing was refused")
		}
	}
	for _, b := range events() {
		if damage(b, VerifyOrderEvent, readEvent) == 0 {
			t.Error("nothing was refused")
		}
	}
}

func TestTablesThatMustBeRefused(t *testing.T) {
	build := func(kind fb.OrderCommand, withType, withCommand bool) []byte {
		b := flatbuffers.NewBuilder(128)
		fb.NewOrderStart(b)
		fb.NewOrderAddPrice(b, 5)
		command := fb.NewOrderEnd(b)
		fb.OrderRequestStart(b)
		if withType {
			fb.OrderRequestAddCommandType(b, kind)
		}
		if withCommand {
			fb.OrderRequestAddCommand(b, command)
		}
		b.Finish(fb.OrderRequestEnd(b))
		return b.FinishedBytes()
	}
	le := binary.LittleEndian
	misaligned := newOrder()
	root := le.Uint32(misaligned)
	le.PutUint32(misaligned, root+1)
	for name, b := range map[string][]byte{
		"nothing":         nil,
		"root beyond":     {255, 255, 255, 127, 0, 0, 0, 0},
		"root in itself":  {0, 0, 0, 0, 0, 0, 0, 0},
		"no type":         build(0, false, true),
		"no command":      build(fb.OrderCommandNewOrder, true, false),
		"unknown type":    build(3, true, true),
		"misaligned root": misaligned,
		"too long":        append(newOrder(), make([]byte, MaxRecord)...),
	} {
		if VerifyOrderRequest(b) {
			t.Errorf("%s: verifies", name)
		}
	}
	if !VerifyOrderRequest(build(fb.OrderCommandNewOrder, true, true)) {
		t.Error("the good one does not verify")
	}
}

// TestNewerTablesVerify reads a table to which a newer schema has added a field.
func TestNewerTablesVerify(t *testing.T) {
	b := flatbuffers.NewBuilder(128)
	b.StartObject(6)
	fb.NewOrderAddPrice(b, 5)
	b.PrependUint64Slot(5, 99, 0)
	if buf := request(b, fb.OrderCommandNewOrder, b.EndObject()); !VerifyOrderRequest(buf) || readRequest(buf) != 5+1 {
		t.Error("a table with a field more is not read")
	}
}
