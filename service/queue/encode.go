package queue

import (
	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service/queue/fb"
	"lockstep/wire/flat"
)

// The encoders reset and reuse the builder, so what they return is good until its next use; once the builder has grown
// they do not allocate.

// EncodeRequest encodes a request. It panics if the kind is none.
func EncodeRequest(b *flatbuffers.Builder, q *Request) []byte {
	b.Reset()
	var command flatbuffers.UOffsetT
	switch q.Kind {
	case Put:
		name, key, payload := flat.PutString(b, q.Queue), flat.PutString(b, q.Key), flat.PutBytes(b, q.Payload)
		fb.PutStart(b)
		fb.PutAddQueue(b, name)
		fb.PutAddKey(b, key)
		fb.PutAddDelayMs(b, q.DelayMs)
		fb.PutAddDeadlineMs(b, q.DeadlineMs)
		fb.PutAddPayload(b, payload)
		command = fb.PutEnd(b)
	case Lease:
		name := flat.PutString(b, q.Queue)
		fb.LeaseStart(b)
		fb.LeaseAddQueue(b, name)
		fb.LeaseAddRequest(b, q.Request)
		fb.LeaseAddMode(b, q.Mode)
		fb.LeaseAddDropLate(b, q.DropLate)
		fb.LeaseAddMax(b, q.Max)
		fb.LeaseAddLeaseMs(b, q.LeaseMs)
		fb.LeaseAddWaitMs(b, q.WaitMs)
		command = fb.LeaseEnd(b)
	case Extend:
		name := flat.PutString(b, q.Queue)
		fb.ExtendStart(b)
		fb.ExtendAddQueue(b, name)
		fb.ExtendAddId(b, q.ID)
		fb.ExtendAddToken(b, q.Token)
		fb.ExtendAddLeaseMs(b, q.LeaseMs)
		command = fb.ExtendEnd(b)
	case Delete:
		name := flat.PutString(b, q.Queue)
		fb.DeleteStart(b)
		fb.DeleteAddQueue(b, name)
		fb.DeleteAddId(b, q.ID)
		fb.DeleteAddToken(b, q.Token)
		command = fb.DeleteEnd(b)
	case Release:
		name := flat.PutString(b, q.Queue)
		fb.ReleaseStart(b)
		fb.ReleaseAddQueue(b, name)
		fb.ReleaseAddId(b, q.ID)
		fb.ReleaseAddToken(b, q.Token)
		fb.ReleaseAddDelayMs(b, q.DelayMs)
		command = fb.ReleaseEnd(b)
	default:
		command = encodeManagement(b, q)
	}
	fb.RequestStart(b)
	fb.RequestAddCommandType(b, q.Kind)
	fb.RequestAddCommand(b, command)
	b.Finish(fb.RequestEnd(b))
	return b.FinishedBytes()
}

// encodeManagement encodes what is not about a single message.
func encodeManagement(b *flatbuffers.Builder, q *Request) flatbuffers.UOffsetT {
	name := flat.PutString(b, q.Queue)
	switch q.Kind {
	case Configure:
		dead := flat.PutString(b, q.DeadLetter)
		fb.ConfigureStart(b)
		fb.ConfigureAddQueue(b, name)
		fb.ConfigureAddMaxAttempts(b, q.MaxAttempts)
		fb.ConfigureAddDeadLetter(b, dead)
		fb.ConfigureAddLeaseMs(b, q.LeaseMs)
		fb.ConfigureAddDedupMs(b, q.DedupMs)
		return fb.ConfigureEnd(b)
	case Remove:
		fb.RemoveStart(b)
		fb.RemoveAddQueue(b, name)
		return fb.RemoveEnd(b)
	case Stats:
		fb.StatsStart(b)
		fb.StatsAddQueue(b, name)
		return fb.StatsEnd(b)
	case List:
		after := flat.PutString(b, q.After)
		fb.ListStart(b)
		fb.ListAddAfter(b, after)
		fb.ListAddMax(b, q.Max)
		return fb.ListEnd(b)
	case Peek:
		fb.PeekStart(b)
		fb.PeekAddQueue(b, name)
		fb.PeekAddAside(b, q.Aside)
		fb.PeekAddMax(b, q.Max)
		return fb.PeekEnd(b)
	}
	panic("queue: a request of no kind")
}

// EncodeResponse encodes a response. It panics if the kind is none, or if there are more than MaxBatch messages or
// names.
func EncodeResponse(b *flatbuffers.Builder, r *Response) []byte {
	b.Reset()
	var report flatbuffers.UOffsetT
	switch r.Kind {
	case Stored:
		fb.StoredStart(b)
		fb.StoredAddId(b, r.ID)
		fb.StoredAddDuplicate(b, r.Duplicate)
		report = fb.StoredEnd(b)
	case Leased:
		name, messages := flat.PutString(b, r.Queue), encodeMessages(b, r)
		fb.LeasedStart(b)
		fb.LeasedAddRequest(b, r.Request)
		fb.LeasedAddQueue(b, name)
		fb.LeasedAddDropped(b, r.Dropped)
		fb.LeasedAddWaiting(b, r.Waiting)
		fb.LeasedAddMessages(b, messages)
		report = fb.LeasedEnd(b)
	case Extended:
		fb.ExtendedStart(b)
		fb.ExtendedAddId(b, r.ID)
		fb.ExtendedAddUntil(b, r.Until)
		report = fb.ExtendedEnd(b)
	case Deleted:
		fb.DeletedStart(b)
		fb.DeletedAddId(b, r.ID)
		report = fb.DeletedEnd(b)
	case Released:
		fb.ReleasedStart(b)
		fb.ReleasedAddId(b, r.ID)
		fb.ReleasedAddDead(b, r.Dead)
		report = fb.ReleasedEnd(b)
	case Refused:
		fb.RefusedStart(b)
		fb.RefusedAddReason(b, r.Reason)
		fb.RefusedAddId(b, r.ID)
		report = fb.RefusedEnd(b)
	default:
		report = encodeAnswer(b, r)
	}
	fb.ResponseStart(b)
	fb.ResponseAddReportType(b, r.Kind)
	fb.ResponseAddReport(b, report)
	b.Finish(fb.ResponseEnd(b))
	return b.FinishedBytes()
}

// encodeAnswer encodes what answers a request that is not about a single message.
func encodeAnswer(b *flatbuffers.Builder, r *Response) flatbuffers.UOffsetT {
	switch r.Kind {
	case Configured:
		fb.ConfiguredStart(b)
		return fb.ConfiguredEnd(b)
	case Removed:
		fb.RemovedStart(b)
		return fb.RemovedEnd(b)
	case Counted:
		return encodeCounts(b, r)
	case Listed:
		names := encodeNames(b, r)
		fb.NamesStart(b)
		fb.NamesAddQueues(b, names)
		return fb.NamesEnd(b)
	case Peeked:
		messages := encodeMessages(b, r)
		fb.PeekedStart(b)
		fb.PeekedAddMessages(b, messages)
		return fb.PeekedEnd(b)
	}
	panic("queue: a response of no kind")
}

func encodeCounts(b *flatbuffers.Builder, r *Response) flatbuffers.UOffsetT {
	name, dead := flat.PutString(b, r.Queue), flat.PutString(b, r.DeadLetter)
	c := &r.Counts
	fb.CountsStart(b)
	fb.CountsAddQueue(b, name)
	fb.CountsAddReady(b, c.Ready)
	fb.CountsAddDelayed(b, c.Delayed)
	fb.CountsAddLeased(b, c.Leased)
	fb.CountsAddWaiting(b, c.Waiting)
	fb.CountsAddKeys(b, c.Keys)
	fb.CountsAddPut(b, c.Put)
	fb.CountsAddDuplicates(b, c.Duplicates)
	fb.CountsAddDelivered(b, c.Delivered)
	fb.CountsAddDeleted(b, c.Deleted)
	fb.CountsAddReleased(b, c.Released)
	fb.CountsAddExpired(b, c.Expired)
	fb.CountsAddDead(b, c.Dead)
	fb.CountsAddLate(b, c.Late)
	fb.CountsAddMaxAttempts(b, c.MaxAttempts)
	fb.CountsAddDeadLetter(b, dead)
	fb.CountsAddLeaseMs(b, c.LeaseMs)
	fb.CountsAddDedupMs(b, c.DedupMs)
	return fb.CountsEnd(b)
}

func encodeMessages(b *flatbuffers.Builder, r *Response) flatbuffers.UOffsetT {
	var at [MaxBatch]flatbuffers.UOffsetT
	for i := range r.Messages {
		m := &r.Messages[i]
		origin, payload := flat.PutString(b, m.Origin), flat.PutBytes(b, m.Payload)
		fb.MessageStart(b)
		fb.MessageAddId(b, m.ID)
		fb.MessageAddToken(b, m.Token)
		fb.MessageAddState(b, m.State)
		fb.MessageAddAttempts(b, m.Attempts)
		fb.MessageAddPut(b, m.Put)
		fb.MessageAddUntil(b, m.Until)
		fb.MessageAddDeadline(b, m.Deadline)
		fb.MessageAddOrigin(b, origin)
		fb.MessageAddPayload(b, payload)
		at[i] = fb.MessageEnd(b)
	}
	return flat.PutTables(b, at[:len(r.Messages)])
}

func encodeNames(b *flatbuffers.Builder, r *Response) flatbuffers.UOffsetT {
	var at [MaxBatch]flatbuffers.UOffsetT
	for i := range r.Names {
		name := flat.PutString(b, r.Names[i])
		fb.NameStart(b)
		fb.NameAddQueue(b, name)
		at[i] = fb.NameEnd(b)
	}
	return flat.PutTables(b, at[:len(r.Names)])
}
