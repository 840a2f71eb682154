package queue

import (
	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service/queue/fb"
)

// The encoders reset and reuse the builder, so what they return is good until its next use; once the builder has grown
// they do not allocate.

// EncodeRequest encodes a request. It panics if the kind is none.
func EncodeRequest(b *flatbuffers.Builder, q *Request) []byte {
	b.Reset()
	var command flatbuffers.UOffsetT
	switch q.Kind {
	case Put:
		name, key, payload := text(b, q.Queue), text(b, q.Key), blob(b, q.Payload)
		fb.PutStart(b)
		fb.PutAddQueue(b, name)
		fb.PutAddKey(b, key)
		fb.PutAddDelayMs(b, q.DelayMs)
		fb.PutAddDeadlineMs(b, q.DeadlineMs)
		fb.PutAddPayload(b, payload)
		command = fb.PutEnd(b)
	case Lease:
		name := text(b, q.Queue)
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
		name := text(b, q.Queue)
		fb.ExtendStart(b)
		fb.ExtendAddQueue(b, name)
		fb.ExtendAddId(b, q.ID)
		fb.ExtendAddToken(b, q.Token)
		fb.ExtendAddLeaseMs(b, q.LeaseMs)
		command = fb.ExtendEnd(b)
	case Delete:
		name := text(b, q.Queue)
		fb.DeleteStart(b)
		fb.DeleteAddQueue(b, name)
		fb.DeleteAddId(b, q.ID)
		fb.DeleteAddToken(b, q.Token)
		command = fb.DeleteEnd(b)
	case Release:
		name := text(b, q.Queue)
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
	name := text(b, q.Queue)
	switch q.Kind {
	case Configure:
		dead := text(b, q.DeadLetter)
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
		after := text(b, q.After)
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

// text and blob put a string or a vector of bytes down; 0, which is left out, when it is empty.
func text(b *flatbuffers.Builder, s []byte) flatbuffers.UOffsetT {
	if len(s) == 0 {
		return 0
	}
	return b.CreateByteString(s)
}

func blob(b *flatbuffers.Builder, p []byte) flatbuffers.UOffsetT {
	if len(p) == 0 {
		return 0
	}
	return b.CreateByteVector(p)
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
		name, messages := text(b, r.Queue), encodeMessages(b, r)
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
	name, dead := text(b, r.Queue), text(b, r.DeadLetter)
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
	if len(r.Messages) == 0 {
		return 0
	}
	var at [MaxBatch]flatbuffers.UOffsetT
	for i := range r.Messages {
		m := &r.Messages[i]
		origin, payload := text(b, m.Origin), blob(b, m.Payload)
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
	return vector(b, at[:len(r.Messages)])
}

func encodeNames(b *flatbuffers.Builder, r *Response) flatbuffers.UOffsetT {
	if len(r.Names) == 0 {
		return 0
	}
	var at [MaxBatch]flatbuffers.UOffsetT
	for i := range r.Names {
		name := text(b, r.Names[i])
		fb.NameStart(b)
		fb.NameAddQueue(b, name)
		at[i] = fb.NameEnd(b)
	}
	return vector(b, at[:len(r.Names)])
}

// vector puts a vector of tables down that are there.
func vector(b *flatbuffers.Builder, tables []flatbuffers.UOffsetT) flatbuffers.UOffsetT {
	b.StartVector(flatbuffers.SizeUOffsetT, len(tables), flatbuffers.SizeUOffsetT)
	for i := len(tables) - 1; i >= 0; i-- {
		b.PrependUOffsetT(tables[i])
	}
	return b.EndVector(len(tables))
}
