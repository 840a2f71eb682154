package lock

import (
	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service/lock/fb"
	"lockstep/wire/flat"
)

// Command says what a request asks for.
type Command = fb.Command

// The commands.
const (
	Acquire   = fb.CommandAcquire
	Announce  = fb.CommandAnnounce
	Renew     = fb.CommandRenew
	SetValue  = fb.CommandSetValue
	Release   = fb.CommandRelease
	Get       = fb.CommandGet
	List      = fb.CommandList
	Subscribe = fb.CommandSubscribe
)

// Request is what a client asks, flat. The comments name the commands that a field is of.
type Request struct {
	Command Command
	Name    []byte // all; List: the prefix
	Value   []byte // Acquire, Announce, SetValue
	TTLMs   uint64 // Acquire, Announce: 0 for never; Renew: 0 for as before
	WaitMs  uint64 // Acquire: 0 for not at all
	Keep    bool   // Acquire, Announce: outlives the session
	Token   uint64 // Renew, SetValue, Release; Get: announcements above this one
	After   []byte // List: names above this one
	Limit   uint32 // List: names at most; 0: as many as a response takes
	Prefix  bool   // Subscribe: to all names that begin so
	On      bool   // Subscribe
}

// requestTable is what a request is to the verifier, as lock.fbs has it.
var requestTable = flat.Table{flat.UnionType, flat.Union(
	flat.Table{flat.Bytes, flat.Bytes, flat.U64, flat.U64, flat.U8},
	flat.Table{flat.Bytes, flat.Bytes, flat.U64, flat.U8},
	flat.Table{flat.Bytes, flat.U64, flat.U64},
	flat.Table{flat.Bytes, flat.U64, flat.Bytes},
	flat.Table{flat.Bytes, flat.U64},
	flat.Table{flat.Bytes, flat.U64},
	flat.Table{flat.Bytes, flat.Bytes, flat.U32},
	flat.Table{flat.Bytes, flat.U8, flat.U8},
)}

// EncodeRequest encodes a request. What it returns is good until the builder's next use; once that has grown, nothing
// is allocated.
func EncodeRequest(b *flatbuffers.Builder, q *Request) []byte {
	b.Reset()
	name := b.CreateByteVector(q.Name)
	return flat.Finish(b, byte(q.Command), encodeCommand(b, q, name))
}

func encodeCommand(b *flatbuffers.Builder, q *Request, name flatbuffers.UOffsetT) flatbuffers.UOffsetT {
	switch q.Command {
	case Acquire:
		value := b.CreateByteVector(q.Value)
		fb.AcquireStart(b)
		fb.AcquireAddTtlMs(b, q.TTLMs)
		fb.AcquireAddWaitMs(b, q.WaitMs)
		fb.AcquireAddName(b, name)
		fb.AcquireAddValue(b, value)
		fb.AcquireAddKeep(b, q.Keep)
		return fb.AcquireEnd(b)
	case Announce:
		value := b.CreateByteVector(q.Value)
		fb.AnnounceStart(b)
		fb.AnnounceAddTtlMs(b, q.TTLMs)
		fb.AnnounceAddName(b, name)
		fb.AnnounceAddValue(b, value)
		fb.AnnounceAddKeep(b, q.Keep)
		return fb.AnnounceEnd(b)
	case Renew:
		fb.RenewStart(b)
		fb.RenewAddToken(b, q.Token)
		fb.RenewAddTtlMs(b, q.TTLMs)
		fb.RenewAddName(b, name)
		return fb.RenewEnd(b)
	case SetValue:
		value := b.CreateByteVector(q.Value)
		fb.SetValueStart(b)
		fb.SetValueAddToken(b, q.Token)
		fb.SetValueAddName(b, name)
		fb.SetValueAddValue(b, value)
		return fb.SetValueEnd(b)
	case Release:
		fb.ReleaseStart(b)
		fb.ReleaseAddToken(b, q.Token)
		fb.ReleaseAddName(b, name)
		return fb.ReleaseEnd(b)
	case Get:
		fb.GetStart(b)
		fb.GetAddAfter(b, q.Token)
		fb.GetAddName(b, name)
		return fb.GetEnd(b)
	case List:
		after := b.CreateByteVector(q.After)
		fb.ListStart(b)
		fb.ListAddPrefix(b, name)
		fb.ListAddAfter(b, after)
		fb.ListAddLimit(b, q.Limit)
		return fb.ListEnd(b)
	case Subscribe:
		fb.SubscribeStart(b)
		fb.SubscribeAddName(b, name)
		fb.SubscribeAddPrefix(b, q.Prefix)
		fb.SubscribeAddOn(b, q.On)
		return fb.SubscribeEnd(b)
	}
	return 0
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
	case Acquire:
		var t fb.Acquire
		t.Init(c.Bytes, c.Pos)
		q.Name, q.Value, q.TTLMs, q.WaitMs, q.Keep = t.NameBytes(), t.ValueBytes(), t.TtlMs(), t.WaitMs(), t.Keep()
	case Announce:
		var t fb.Announce
		t.Init(c.Bytes, c.Pos)
		q.Name, q.Value, q.TTLMs, q.Keep = t.NameBytes(), t.ValueBytes(), t.TtlMs(), t.Keep()
	case Renew:
		var t fb.Renew
		t.Init(c.Bytes, c.Pos)
		q.Name, q.Token, q.TTLMs = t.NameBytes(), t.Token(), t.TtlMs()
	case SetValue:
		var t fb.SetValue
		t.Init(c.Bytes, c.Pos)
		q.Name, q.Token, q.Value = t.NameBytes(), t.Token(), t.ValueBytes()
	case Release:
		var t fb.Release
		t.Init(c.Bytes, c.Pos)
		q.Name, q.Token = t.NameBytes(), t.Token()
	case Get:
		var t fb.Get
		t.Init(c.Bytes, c.Pos)
		q.Name, q.Token = t.NameBytes(), t.After()
	case List:
		var t fb.List
		t.Init(c.Bytes, c.Pos)
		q.Name, q.After, q.Limit = t.PrefixBytes(), t.AfterBytes(), t.Limit()
	case Subscribe:
		var t fb.Subscribe
		t.Init(c.Bytes, c.Pos)
		q.Name, q.Prefix, q.On = t.NameBytes(), t.Prefix(), t.On()
	default:
		return false
	}
	return true
}
