package timer

import (
	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service/timer/fb"
	"lockstep/wire/flat"
)

// The encoders reset and reuse the builder, so what they return is good until its next use; once the builder has grown
// they do not allocate.

// EncodeRequest encodes a request. It panics if the kind is none.
func EncodeRequest(b *flatbuffers.Builder, q *Request) []byte {
	b.Reset()
	name := flat.PutString(b, q.Name)
	var command flatbuffers.UOffsetT
	switch q.Kind {
	case Start:
		payload := flat.PutBytes(b, q.Payload)
		fb.StartStart(b)
		fb.StartAddName(b, name)
		fb.StartAddAt(b, q.At)
		fb.StartAddAfterMs(b, q.AfterMs)
		fb.StartAddIntervalMs(b, q.IntervalMs)
		fb.StartAddCount(b, q.Count)
		fb.StartAddKept(b, q.Kept)
		fb.StartAddReplace(b, q.Replace)
		fb.StartAddPayload(b, payload)
		command = fb.StartEnd(b)
	case Cancel:
		fb.CancelStart(b)
		fb.CancelAddName(b, name)
		command = fb.CancelEnd(b)
	case List:
		after := flat.PutString(b, q.After)
		fb.ListStart(b)
		fb.ListAddPrefix(b, name)
		fb.ListAddAfter(b, after)
		fb.ListAddMax(b, q.Max)
		command = fb.ListEnd(b)
	case Subscribe:
		fb.SubscribeStart(b)
		fb.SubscribeAddName(b, name)
		fb.SubscribeAddPrefix(b, q.Prefix)
		fb.SubscribeAddOff(b, q.Off)
		command = fb.SubscribeEnd(b)
	default:
		panic("timer: a request of no kind")
	}
	fb.RequestStart(b)
	fb.RequestAddCommandType(b, q.Kind)
	fb.RequestAddCommand(b, command)
	b.Finish(fb.RequestEnd(b))
	return b.FinishedBytes()
}

// EncodeResponse encodes a response. It panics if the kind is none, or if there are more than MaxBatch timers.
func EncodeResponse(b *flatbuffers.Builder, r *Response) []byte {
	b.Reset()
	var report flatbuffers.UOffsetT
	switch r.Kind {
	case Started:
		fb.StartedStart(b)
		fb.StartedAddId(b, r.ID)
		fb.StartedAddDue(b, r.Due)
		report = fb.StartedEnd(b)
	case Canceled:
		fb.CanceledStart(b)
		fb.CanceledAddId(b, r.ID)
		report = fb.CanceledEnd(b)
	case Subscribed:
		fb.SubscribedStart(b)
		report = fb.SubscribedEnd(b)
	case Listed:
		timers := encodeTimers(b, r)
		fb.TimersStart(b)
		fb.TimersAddTimers(b, timers)
		report = fb.TimersEnd(b)
	case Fired:
		name, payload := flat.PutString(b, r.Name), flat.PutBytes(b, r.Payload)
		fb.FiredStart(b)
		fb.FiredAddName(b, name)
		fb.FiredAddId(b, r.ID)
		fb.FiredAddNumber(b, r.Number)
		fb.FiredAddSkipped(b, r.Skipped)
		fb.FiredAddDue(b, r.Due)
		fb.FiredAddLast(b, r.Last)
		fb.FiredAddPayload(b, payload)
		report = fb.FiredEnd(b)
	case Refused:
		fb.RefusedStart(b)
		fb.RefusedAddReason(b, r.Reason)
		fb.RefusedAddId(b, r.ID)
		report = fb.RefusedEnd(b)
	default:
		panic("timer: a response of no kind")
	}
	fb.ResponseStart(b)
	fb.ResponseAddReportType(b, r.Kind)
	fb.ResponseAddReport(b, report)
	b.Finish(fb.ResponseEnd(b))
	return b.FinishedBytes()
}

func encodeTimers(b *flatbuffers.Builder, r *Response) flatbuffers.UOffsetT {
	var at [MaxBatch]flatbuffers.UOffsetT
	for i := range r.Timers {
		x := &r.Timers[i]
		name := flat.PutString(b, x.Name)
		fb.TimerStart(b)
		fb.TimerAddName(b, name)
		fb.TimerAddId(b, x.ID)
		fb.TimerAddDue(b, x.Due)
		fb.TimerAddIntervalMs(b, x.IntervalMs)
		fb.TimerAddNumber(b, x.Number)
		fb.TimerAddCount(b, x.Count)
		fb.TimerAddOwner(b, x.Owner)
		at[i] = fb.TimerEnd(b)
	}
	return flat.PutTables(b, at[:len(r.Timers)])
}
