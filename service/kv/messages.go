package kv

import (
	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service/kv/fb"
	"lockstep/wire/flat"
)

// Command says what a request asks for.
type Command = fb.Command

// The commands.
const (
	Get           = fb.CommandGet
	Put           = fb.CommandPut
	CompareAndSet = fb.CommandCompareAndSet
	Delete        = fb.CommandDelete
	Range         = fb.CommandRange
	Watch         = fb.CommandWatch
)

// Reason says why a request was refused.
type Reason = fb.Reason

// The reasons, as kv.fbs explains them.
const (
	ReasonNone           = fb.ReasonNone
	ReasonMalformed      = fb.ReasonMalformed
	ReasonBadKey         = fb.ReasonBadKey
	ReasonValueTooLong   = fb.ReasonValueTooLong
	ReasonTooManyKeys    = fb.ReasonTooManyKeys
	ReasonTooManyBytes   = fb.ReasonTooManyBytes
	ReasonTooManyWatches = fb.ReasonTooManyWatches
)

// Request is what a client asks, flat. The comments name the commands that a field is of.
type Request struct {
	Command  Command
	Key      []byte // Get, Put, CompareAndSet, Delete; Watch: the prefix
	Value    []byte // Put, CompareAndSet
	Version  uint64 // CompareAndSet: 0 for a key that is not there; Delete: 0 for any
	From, To []byte // Range: keys from From on and below To, if that is not empty
	After    []byte // Range: keys above this one
	Limit    uint32 // Range: keys at most; 0: as many as a response takes
	KeysOnly bool   // Range
	On       bool   // Watch
}

// Report says what a response is.
type Report = fb.Report

// The reports.
const (
	Found    = fb.ReportFound
	Absent   = fb.ReportAbsent
	Stored   = fb.ReportStored
	Deleted  = fb.ReportDeleted
	Entries  = fb.ReportEntries
	Watching = fb.ReportWatching
	Conflict = fb.ReportConflict
	Refused  = fb.ReportRefused
	Changed  = fb.ReportChanged
)

// Response is what the store answers or tells, flat. The comments name the reports that a field is of.
type Response struct {
	Report   Report
	Reason   Reason // Refused
	Key      []byte // Changed
	Value    []byte // Found, Conflict, Changed
	Version  uint64 // Found, Stored, Conflict (0: the key is not there), Changed; Watching: from this record on
	Previous uint64 // Stored, Deleted: 0 for a key that was not there
	On       bool   // Watching
	Deleted  bool   // Changed
	LeftOut  bool   // Changed: the value is not in here
	More     bool   // Entries
	Entries  int    // Entries: how many

	entries fb.Entries
}

// Entry is a key with what it holds.
type Entry struct {
	Key, Value []byte
	Version    uint64
}

// Entry returns one of the entries of a response, from 0.
func (p *Response) Entry(i int) (e Entry) {
	var t fb.Entry
	if p.entries.Entries(&t, i) {
		e = Entry{Key: t.KeyBytes(), Value: t.ValueBytes(), Version: t.Version()}
	}
	return e
}

// What requests and responses are to the verifier, as kv.fbs has them.
var (
	requestTable = flat.Table{flat.UnionType, flat.Union(
		flat.Table{flat.Bytes},
		flat.Table{flat.Bytes, flat.Bytes},
		flat.Table{flat.Bytes, flat.Bytes, flat.U64},
		flat.Table{flat.Bytes, flat.U64},
		flat.Table{flat.Bytes, flat.Bytes, flat.Bytes, flat.U32, flat.U8},
		flat.Table{flat.Bytes, flat.U8},
	)}
	responseTable = flat.Table{flat.UnionType, flat.Union(
		flat.Table{flat.Bytes, flat.U64},
		flat.Table{},
		flat.Table{flat.U64, flat.U64},
		flat.Table{flat.U64},
		flat.Table{flat.Tables(flat.Table{flat.Bytes, flat.Bytes, flat.U64}), flat.U8},
		flat.Table{flat.U8, flat.U64},
		flat.Table{flat.U64, flat.Bytes},
		flat.Table{flat.U8},
		flat.Table{flat.Bytes, flat.Bytes, flat.U64, flat.U8, flat.U8},
	)}
)

// EncodeRequest encodes a request. What it returns is good until the builder's next use; once that has grown, nothing
// is allocated.
func EncodeRequest(b *flatbuffers.Builder, q *Request) []byte {
	b.Reset()
	var command flatbuffers.UOffsetT
	switch q.Command {
	case Get:
		key := b.CreateByteVector(q.Key)
		fb.GetStart(b)
		fb.GetAddKey(b, key)
		command = fb.GetEnd(b)
	case Put:
		key, value := b.CreateByteVector(q.Key), b.CreateByteVector(q.Value)
		fb.PutStart(b)
		fb.PutAddKey(b, key)
		fb.PutAddValue(b, value)
		command = fb.PutEnd(b)
	case CompareAndSet:
		key, value := b.CreateByteVector(q.Key), b.CreateByteVector(q.Value)
		fb.CompareAndSetStart(b)
		fb.CompareAndSetAddVersion(b, q.Version)
		fb.CompareAndSetAddKey(b, key)
		fb.CompareAndSetAddValue(b, value)
		command = fb.CompareAndSetEnd(b)
	case Delete:
		key := b.CreateByteVector(q.Key)
		fb.DeleteStart(b)
		fb.DeleteAddVersion(b, q.Version)
		fb.DeleteAddKey(b, key)
		command = fb.DeleteEnd(b)
	case Range:
		command = encodeRange(b, q)
	case Watch:
		key := b.CreateByteVector(q.Key)
		fb.WatchStart(b)
		fb.WatchAddPrefix(b, key)
		fb.WatchAddOn(b, q.On)
		command = fb.WatchEnd(b)
	}
	return flat.Finish(b, byte(q.Command), command)
}

func encodeRange(b *flatbuffers.Builder, q *Request) flatbuffers.UOffsetT {
	from, to, after := b.CreateByteVector(q.From), b.CreateByteVector(q.To), b.CreateByteVector(q.After)
	fb.RangeStart(b)
	fb.RangeAddFrom(b, from)
	fb.RangeAddTo(b, to)
	fb.RangeAddAfter(b, after)
	fb.RangeAddLimit(b, q.Limit)
	fb.RangeAddKeysOnly(b, q.KeysOnly)
	return fb.RangeEnd(b)
}

// DecodeRequest reads a request from anywhere; what it refers to is the payload's. It reports false when that is none.
func DecodeRequest(payload []byte, q *Request) bool {
	*q = Request{}
	var c flatbuffers.Table
	kind, ok := flat.Open(payload, requestTable, &c)
	if !ok {
		return false
	}
	q.Command = Command(kind)
	switch q.Command {
	case Get:
		var t fb.Get
		t.Init(c.Bytes, c.Pos)
		q.Key = t.KeyBytes()
	case Put:
		var t fb.Put
		t.Init(c.Bytes, c.Pos)
		q.Key, q.Value = t.KeyBytes(), t.ValueBytes()
	case CompareAndSet:
		var t fb.CompareAndSet
		t.Init(c.Bytes, c.Pos)
		q.Key, q.Value, q.Version = t.KeyBytes(), t.ValueBytes(), t.Version()
	case Delete:
		var t fb.Delete
		t.Init(c.Bytes, c.Pos)
		q.Key, q.Version = t.KeyBytes(), t.Version()
	case Range:
		var t fb.Range
		t.Init(c.Bytes, c.Pos)
		q.From, q.To, q.After = t.FromBytes(), t.ToBytes(), t.AfterBytes()
		q.Limit, q.KeysOnly = t.Limit(), t.KeysOnly()
	case Watch:
		var t fb.Watch
		t.Init(c.Bytes, c.Pos)
		q.Key, q.On = t.PrefixBytes(), t.On()
	default:
		return false
	}
	return true
}

// DecodeResponse reads a response from anywhere; what it refers to is the payload's. It reports false when that is
// none.
func DecodeResponse(payload []byte, p *Response) bool {
	*p = Response{}
	var r flatbuffers.Table
	kind, ok := flat.Open(payload, responseTable, &r)
	if !ok {
		return false
	}
	p.Report = Report(kind)
	switch p.Report {
	case Found:
		var t fb.Found
		t.Init(r.Bytes, r.Pos)
		p.Value, p.Version = t.ValueBytes(), t.Version()
	case Absent:
	case Stored:
		var t fb.Stored
		t.Init(r.Bytes, r.Pos)
		p.Version, p.Previous = t.Version(), t.Previous()
	case Deleted:
		var t fb.Deleted
		t.Init(r.Bytes, r.Pos)
		p.Previous = t.Previous()
	case Entries:
		p.entries.Init(r.Bytes, r.Pos)
		p.Entries, p.More = p.entries.EntriesLength(), p.entries.More()
	case Watching:
		var t fb.Watching
		t.Init(r.Bytes, r.Pos)
		p.On, p.Version = t.On(), t.Sequence()
	case Conflict:
		var t fb.Conflict
		t.Init(r.Bytes, r.Pos)
		p.Version, p.Value = t.Version(), t.ValueBytes()
	case Refused:
		var t fb.Refused
		t.Init(r.Bytes, r.Pos)
		p.Reason = t.Reason()
	case Changed:
		var t fb.Changed
		t.Init(r.Bytes, r.Pos)
		p.Key, p.Value, p.Version = t.KeyBytes(), t.ValueBytes(), t.Version()
		p.Deleted, p.LeftOut = t.Deleted(), t.LeftOut()
	default:
		return false
	}
	return true
}
