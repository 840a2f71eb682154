package queue

import (
	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service/queue/fb"
	"lockstep/wire/flat"
)

// Kind says what a request asks for, and ReportKind what a response reports.
type (
	Kind       = fb.Command
	ReportKind = fb.Report
)

// The kinds of requests.
const (
	Put       = fb.CommandPut
	Lease     = fb.CommandLease
	Extend    = fb.CommandExtend
	Delete    = fb.CommandDelete
	Release   = fb.CommandRelease
	Configure = fb.CommandConfigure
	Remove    = fb.CommandRemove
	Stats     = fb.CommandStats
	List      = fb.CommandList
	Peek      = fb.CommandPeek
)

// The kinds of responses.
const (
	Stored     = fb.ReportStored
	Leased     = fb.ReportLeased
	Extended   = fb.ReportExtended
	Deleted    = fb.ReportDeleted
	Released   = fb.ReportReleased
	Configured = fb.ReportConfigured
	Removed    = fb.ReportRemoved
	Counted    = fb.ReportCounts
	Listed     = fb.ReportNames
	Peeked     = fb.ReportPeeked
	Refused    = fb.ReportRefused
)

// Request is a Request of queue.fbs, flat. The comments name the kinds that a field is of. A decoded one refers to the
// payload it came from.
type Request struct {
	Kind        Kind
	Mode        fb.Mode // Lease
	DropLate    bool    // Lease
	Aside       bool    // Peek
	Queue       []byte  // all but List
	Key         []byte  // Put
	Payload     []byte  // Put
	DeadLetter  []byte  // Configure
	After       []byte  // List
	ID, Token   uint64  // Extend, Delete, Release
	Request     uint64  // Lease
	DelayMs     uint64  // Put, Release
	DeadlineMs  uint64  // Put
	LeaseMs     uint64  // Lease, Extend, Configure
	WaitMs      uint64  // Lease
	DedupMs     uint64  // Configure
	Max         uint32  // Lease, List, Peek
	MaxAttempts uint32  // Configure
}

// Message is a message of a queue as responses tell of it.
type Message struct {
	ID, Token uint64 // Token: 0 when it is not leased
	State     fb.State
	Attempts  uint32
	Put       uint64 // ns since the Unix epoch, as are Until and Deadline
	Until     uint64 // end of the lease or of the delay
	Deadline  uint64 // 0: none
	Origin    []byte // the queue where it died
	Payload   []byte
}

// Counts are what a queue holds and what it has seen.
type Counts struct {
	Ready, Delayed, Leased, Waiting, Keys                              uint64
	Put, Duplicates, Delivered, Deleted, Released, Expired, Dead, Late uint64
	MaxAttempts                                                        uint32
	LeaseMs, DedupMs                                                   uint64
}

// Response is a Response of queue.fbs, flat. A decoded one refers to the payload it came from.
type Response struct {
	Kind       ReportKind
	Reason     fb.Reason // Refused
	Duplicate  bool      // Stored
	Waiting    bool      // Leased
	Dead       bool      // Released
	ID         uint64    // Stored, Extended, Deleted, Released, Refused
	Until      uint64    // Extended
	Request    uint64    // Leased
	Dropped    uint32    // Leased
	Queue      []byte    // Leased, Counted
	DeadLetter []byte    // Counted
	Counts     Counts    // Counted
	Messages   []Message // Leased, Peeked
	Names      [][]byte  // Listed
}

var (
	messageTable = flat.Table{flat.U64, flat.U64, flat.U8, flat.U32, flat.U64, flat.U64, flat.U64, flat.String,
		flat.Bytes}

	requestTable = flat.Table{flat.UnionType, flat.Union(
		flat.Table{flat.String, flat.String, flat.U64, flat.U64, flat.Bytes},              // Put
		flat.Table{flat.String, flat.U64, flat.U8, flat.U8, flat.U32, flat.U64, flat.U64}, // Lease
		flat.Table{flat.String, flat.U64, flat.U64, flat.U64},                             // Extend
		flat.Table{flat.String, flat.U64, flat.U64},                                       // Delete
		flat.Table{flat.String, flat.U64, flat.U64, flat.U64},                             // Release
		flat.Table{flat.String, flat.U32, flat.String, flat.U64, flat.U64},                // Configure
		flat.Table{flat.String},                    // Remove
		flat.Table{flat.String},                    // Stats
		flat.Table{flat.String, flat.U32},          // List
		flat.Table{flat.String, flat.U8, flat.U32}, // Peek
	)}
	responseTable = flat.Table{flat.UnionType, flat.Union(
		flat.Table{flat.U64, flat.U8}, // Stored
		flat.Table{flat.U64, flat.String, flat.U32, flat.U8, flat.Tables(messageTable)}, // Leased
		flat.Table{flat.U64, flat.U64}, // Extended
		flat.Table{flat.U64},           // Deleted
		flat.Table{flat.U64, flat.U8},  // Released
		flat.Table{},                   // Configured
		flat.Table{},                   // Removed
		flat.Table{flat.String, flat.U64, flat.U64, flat.U64, flat.U64, flat.U64, flat.U64, flat.U64, flat.U64,
			flat.U64,
			flat.U64, flat.U64, flat.U64, flat.U64, flat.U32, flat.String, flat.U64, flat.U64}, // Counts
		flat.Table{flat.Tables(flat.Table{flat.String})}, // Names
		flat.Table{flat.Tables(messageTable)},            // Peeked
		flat.Table{flat.U8, flat.U64},                    // Refused
	)}
)

// DecodeRequest reads a request from anywhere. It reports false when that is not one.
func DecodeRequest(payload []byte, q *Request) bool {
	*q = Request{}
	var of flatbuffers.Table
	kind, ok := flat.Open(payload, requestTable, &of)
	if !ok {
		return false
	}
	q.Kind = Kind(kind)
	switch q.Kind {
	case Put:
		var t fb.Put
		t.Init(of.Bytes, of.Pos)
		q.Queue, q.Key, q.Payload = t.Queue(), t.Key(), t.PayloadBytes()
		q.DelayMs, q.DeadlineMs = t.DelayMs(), t.DeadlineMs()
	case Lease:
		var t fb.Lease
		t.Init(of.Bytes, of.Pos)
		q.Queue, q.Request, q.Mode, q.DropLate = t.Queue(), t.Request(), t.Mode(), t.DropLate()
		q.Max, q.LeaseMs, q.WaitMs = t.Max(), t.LeaseMs(), t.WaitMs()
	case Extend:
		var t fb.Extend
		t.Init(of.Bytes, of.Pos)
		q.Queue, q.ID, q.Token, q.LeaseMs = t.Queue(), t.Id(), t.Token(), t.LeaseMs()
	case Delete:
		var t fb.Delete
		t.Init(of.Bytes, of.Pos)
		q.Queue, q.ID, q.Token = t.Queue(), t.Id(), t.Token()
	case Release:
		var t fb.Release
		t.Init(of.Bytes, of.Pos)
		q.Queue, q.ID, q.Token, q.DelayMs = t.Queue(), t.Id(), t.Token(), t.DelayMs()
	default:
		decodeManagement(&of, q)
	}
	return true
}

// decodeManagement reads what is not about a single message.
func decodeManagement(of *flatbuffers.Table, q *Request) {
	switch q.Kind {
	case Configure:
		var t fb.Configure
		t.Init(of.Bytes, of.Pos)
		q.Queue, q.MaxAttempts, q.DeadLetter = t.Queue(), t.MaxAttempts(), t.DeadLetter()
		q.LeaseMs, q.DedupMs = t.LeaseMs(), t.DedupMs()
	case Remove:
		var t fb.Remove
		t.Init(of.Bytes, of.Pos)
		q.Queue = t.Queue()
	case Stats:
		var t fb.Stats
		t.Init(of.Bytes, of.Pos)
		q.Queue = t.Queue()
	case List:
		var t fb.List
		t.Init(of.Bytes, of.Pos)
		q.After, q.Max = t.After(), t.Max()
	case Peek:
		var t fb.Peek
		t.Init(of.Bytes, of.Pos)
		q.Queue, q.Aside, q.Max = t.Queue(), t.Aside(), t.Max()
	}
}

// DecodeResponse reads a response from anywhere; it reuses the slices of r. It reports false when that is not one.
func DecodeResponse(payload []byte, r *Response) bool {
	*r = Response{Messages: r.Messages[:0], Names: r.Names[:0]}
	var of flatbuffers.Table
	kind, ok := flat.Open(payload, responseTable, &of)
	if !ok {
		return false
	}
	r.Kind = ReportKind(kind)
	switch r.Kind {
	case Stored:
		var t fb.Stored
		t.Init(of.Bytes, of.Pos)
		r.ID, r.Duplicate = t.Id(), t.Duplicate()
	case Extended:
		var t fb.Extended
		t.Init(of.Bytes, of.Pos)
		r.ID, r.Until = t.Id(), t.Until()
	case Deleted:
		var t fb.Deleted
		t.Init(of.Bytes, of.Pos)
		r.ID = t.Id()
	case Released:
		var t fb.Released
		t.Init(of.Bytes, of.Pos)
		r.ID, r.Dead = t.Id(), t.Dead()
	case Refused:
		var t fb.Refused
		t.Init(of.Bytes, of.Pos)
		r.Reason, r.ID = t.Reason(), t.Id()
	case Counted:
		decodeCounts(&of, r)
	default:
		decodeVectors(&of, r)
	}
	return true
}

func decodeCounts(of *flatbuffers.Table, r *Response) {
	var t fb.Counts
	t.Init(of.Bytes, of.Pos)
	r.Queue, r.DeadLetter = t.Queue(), t.DeadLetter()
	r.Counts = Counts{
		Ready: t.Ready(), Delayed: t.Delayed(), Leased: t.Leased(), Waiting: t.Waiting(), Keys: t.Keys(),
		Put: t.Put(), Duplicates: t.Duplicates(), Delivered: t.Delivered(), Deleted: t.Deleted(),
		Released: t.Released(),
		Expired:  t.Expired(), Dead: t.Dead(), Late: t.Late(),
		MaxAttempts: t.MaxAttempts(), LeaseMs: t.LeaseMs(), DedupMs: t.DedupMs(),
	}
}

func decodeVectors(of *flatbuffers.Table, r *Response) {
	var m fb.Message
	switch r.Kind {
	case Leased:
		var t fb.Leased
		t.Init(of.Bytes, of.Pos)
		r.Request, r.Queue, r.Dropped, r.Waiting = t.Request(), t.Queue(), t.Dropped(), t.Waiting()
		for i := range t.MessagesLength() {
			t.Messages(&m, i)
			r.Messages = append(r.Messages, decodeMessage(&m))
		}
	case Peeked:
		var t fb.Peeked
		t.Init(of.Bytes, of.Pos)
		for i := range t.MessagesLength() {
			t.Messages(&m, i)
			r.Messages = append(r.Messages, decodeMessage(&m))
		}
	case Listed:
		var t fb.Names
		var name fb.Name
		t.Init(of.Bytes, of.Pos)
		for i := range t.QueuesLength() {
			t.Queues(&name, i)
			r.Names = append(r.Names, name.Queue())
		}
	}
}

func decodeMessage(m *fb.Message) Message {
	return Message{
		ID: m.Id(), Token: m.Token(), State: m.State(), Attempts: m.Attempts(), Put: m.Put(), Until: m.Until(),
		Deadline: m.Deadline(), Origin: m.Origin(), Payload: m.PayloadBytes(),
	}
}
