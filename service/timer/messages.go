package timer

import (
	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service/timer/fb"
	"lockstep/wire/flat"
)

// Kind says what a request asks for, and ReportKind what a response reports.
type (
	Kind       = fb.Command
	ReportKind = fb.Report
)

// The kinds of requests.
const (
	Start     = fb.CommandStart
	Cancel    = fb.CommandCancel
	List      = fb.CommandList
	Subscribe = fb.CommandSubscribe
)

// The kinds of responses.
const (
	Started    = fb.ReportStarted
	Canceled   = fb.ReportCanceled
	Subscribed = fb.ReportSubscribed
	Listed     = fb.ReportTimers
	Fired      = fb.ReportFired
	Refused    = fb.ReportRefused
)

// Request is a Request of timer.fbs, flat. The comments name the kinds that a field is of. A decoded one refers to the
// payload it came from.
type Request struct {
	Kind       Kind
	Kept       bool   // Start
	Replace    bool   // Start
	Prefix     bool   // Subscribe: Name is what names begin with
	Off        bool   // Subscribe
	Name       []byte // all; List: what names begin with
	After      []byte // List
	Payload    []byte // Start
	At         uint64 // Start: ns since the Unix epoch
	AfterMs    uint64 // Start
	IntervalMs uint64 // Start
	Count      uint64 // Start
	Max        uint32 // List
}

// Timer is a timer as responses tell of it.
type Timer struct {
	Name       []byte
	ID         uint64
	Due        uint64 // ns since the Unix epoch
	IntervalMs uint64
	Number     uint64 // of the period that ends then
	Count      uint64
	Owner      uint64 // session; 0: kept
}

// Response is a Response of timer.fbs, flat. A decoded one refers to the payload it came from.
type Response struct {
	Kind    ReportKind
	Reason  fb.Reason // Refused
	Last    bool      // Fired
	ID      uint64    // all but Subscribed and Listed
	Due     uint64    // Started, Fired
	Number  uint64    // Fired
	Skipped uint64    // Fired
	Name    []byte    // Fired
	Payload []byte    // Fired
	Timers  []Timer   // Listed
}

var (
	timerTable = flat.Table{flat.String, flat.U64, flat.U64, flat.U64, flat.U64, flat.U64, flat.U64}

	requestTable = flat.Table{flat.UnionType, flat.Union(
		flat.Table{flat.String, flat.U64, flat.U64, flat.U64, flat.U64, flat.U8, flat.U8, flat.Bytes}, // Start
		flat.Table{flat.String},                        // Cancel
		flat.Table{flat.String, flat.String, flat.U32}, // List
		flat.Table{flat.String, flat.U8, flat.U8},      // Subscribe
	)}
	responseTable = flat.Table{flat.UnionType, flat.Union(
		flat.Table{flat.U64, flat.U64},      // Started
		flat.Table{flat.U64},                // Canceled
		flat.Table{},                        // Subscribed
		flat.Table{flat.Tables(timerTable)}, // Timers
		flat.Table{flat.String, flat.U64, flat.U64, flat.U64, flat.U64, flat.U8, flat.Bytes}, // Fired
		flat.Table{flat.U8, flat.U64}, // Refused
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
	case Start:
		var t fb.Start
		t.Init(of.Bytes, of.Pos)
		q.Name, q.At, q.AfterMs, q.IntervalMs = t.Name(), t.At(), t.AfterMs(), t.IntervalMs()
		q.Count, q.Kept, q.Replace, q.Payload = t.Count(), t.Kept(), t.Replace(), t.PayloadBytes()
	case Cancel:
		var t fb.Cancel
		t.Init(of.Bytes, of.Pos)
		q.Name = t.Name()
	case List:
		var t fb.List
		t.Init(of.Bytes, of.Pos)
		q.Name, q.After, q.Max = t.Prefix(), t.After(), t.Max()
	case Subscribe:
		var t fb.Subscribe
		t.Init(of.Bytes, of.Pos)
		q.Name, q.Prefix, q.Off = t.Name(), t.Prefix(), t.Off()
	default:
		return false
	}
	return true
}

// DecodeResponse reads a response from anywhere; it reuses the slices of r. It reports false when that is not one.
func DecodeResponse(payload []byte, r *Response) bool {
	*r = Response{Timers: r.Timers[:0]}
	var of flatbuffers.Table
	kind, ok := flat.Open(payload, responseTable, &of)
	if !ok {
		return false
	}
	r.Kind = ReportKind(kind)
	switch r.Kind {
	case Started:
		var t fb.Started
		t.Init(of.Bytes, of.Pos)
		r.ID, r.Due = t.Id(), t.Due()
	case Canceled:
		var t fb.Canceled
		t.Init(of.Bytes, of.Pos)
		r.ID = t.Id()
	case Subscribed:
	case Listed:
		decodeTimers(&of, r)
	case Fired:
		var t fb.Fired
		t.Init(of.Bytes, of.Pos)
		r.Name, r.ID, r.Number, r.Skipped = t.Name(), t.Id(), t.Number(), t.Skipped()
		r.Due, r.Last, r.Payload = t.Due(), t.Last(), t.PayloadBytes()
	case Refused:
		var t fb.Refused
		t.Init(of.Bytes, of.Pos)
		r.Reason, r.ID = t.Reason(), t.Id()
	default:
		return false
	}
	return true
}

func decodeTimers(of *flatbuffers.Table, r *Response) {
	var t fb.Timers
	var x fb.Timer
	t.Init(of.Bytes, of.Pos)
	for i := range t.TimersLength() {
		t.Timers(&x, i)
		r.Timers = append(r.Timers, Timer{
			Name: x.Name(), ID: x.Id(), Due: x.Due(), IntervalMs: x.IntervalMs(), Number: x.Number(), Count: x.Count(),
			Owner: x.Owner(),
		})
	}
}
