package lock

import (
	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service/lock/fb"
	"lockstep/wire"
	"lockstep/wire/flat"
)

// Report says what a response is.
type Report = fb.Report

// The reports.
const (
	Granted    = fb.ReportGranted
	Waiting    = fb.ReportWaiting
	Renewed    = fb.ReportRenewed
	Done       = fb.ReportDone
	State      = fb.ReportState
	Names      = fb.ReportNames
	Subscribed = fb.ReportSubscribed
	Refused    = fb.ReportRefused
	Changed    = fb.ReportChanged
)

// Reason says why a request was refused.
type Reason = fb.Reason

// The reasons, as lock.fbs explains them.
const (
	ReasonNone                 = fb.ReasonNone
	ReasonMalformed            = fb.ReasonMalformed
	ReasonBadName              = fb.ReasonBadName
	ReasonValueTooLong         = fb.ReasonValueTooLong
	ReasonBadTime              = fb.ReasonBadTime
	ReasonHeld                 = fb.ReasonHeld
	ReasonUnknownToken         = fb.ReasonUnknownToken
	ReasonTooManyHolds         = fb.ReasonTooManyHolds
	ReasonTooManyWaiting       = fb.ReasonTooManyWaiting
	ReasonTooManySubscriptions = fb.ReasonTooManySubscriptions
	ReasonTimedOut             = fb.ReasonTimedOut
)

// Change says what subscribers hear of.
type Change = fb.Change

// The changes.
const (
	ChangeGranted      = fb.ChangeGranted // also: announced
	ChangeValueSet     = fb.ChangeValueSet
	ChangeReleased     = fb.ChangeReleased
	ChangeExpired      = fb.ChangeExpired
	ChangeSessionEnded = fb.ChangeSessionEnded
)

// Holder is who has a lock, or made an announcement.
type Holder struct {
	Token   uint64 // 0: nobody
	Session wire.SessionID
	Value   []byte
	Expires uint64 // ns since the Unix epoch; 0: never
	Keep    bool   // outlives the session
}

// Response is what the service answers or tells, flat. The comments name the reports that a field is of.
type Response struct {
	Report       Report
	Reason       Reason // Refused
	Change       Change // Changed
	Name         []byte // Granted, Refused, Changed
	Token        uint64 // Granted; Waiting: of the place
	Expires      uint64 // Granted, Renewed
	Waited       uint64 // Granted, Refused: the token of Waiting; 0: it did not wait
	Holder       Holder // Waiting, State, Refused, Changed
	Ahead        uint32 // Waiting: who wait before
	Waiting      uint32 // State
	Announced    uint32 // State: how many announcements there are in all
	Announcement bool   // Changed
	LeftOut      bool   // Changed: the value is not in here
	On           bool   // Subscribed
	Sequence     uint64 // Subscribed: changes from this record on are told
	More         bool   // State, Names
	Count        int    // State: announcements in here; Names: names

	state fb.State
	names fb.Names
}

// AnnouncementAt returns one of the announcements of State, from 0.
func (p *Response) AnnouncementAt(i int) (h Holder) {
	var t fb.Holder
	if p.state.Announcements(&t, i) {
		h = holderOf(&t)
	}
	return h
}

// NameState is a name of a list, with what it stands for.
type NameState struct {
	Name               []byte
	Holder             Holder
	Waiting, Announced uint32
}

// NameAt returns one of the names of Names, from 0.
func (p *Response) NameAt(i int) (n NameState) {
	var t fb.Name
	if p.names.Names(&t, i) {
		var h fb.Holder
		n = NameState{Name: t.NameBytes(), Holder: holderOf(t.Holder(&h)), Waiting: t.Waiting(), Announced: t.Announced()}
	}
	return n
}

func holderOf(t *fb.Holder) Holder {
	if t == nil {
		return Holder{}
	}
	session := wire.SessionID(t.Session())
	return Holder{Token: t.Token(), Session: session, Value: t.ValueBytes(), Expires: t.Expires(), Keep: t.Keep()}
}

// What responses are to the verifier, as lock.fbs has them.
var (
	holderTable   = flat.Table{flat.U64, flat.U64, flat.Bytes, flat.U64, flat.U8}
	nameTable     = flat.Table{flat.Bytes, flat.Nested(holderTable), flat.U32, flat.U32}
	responseTable = flat.Table{flat.UnionType, flat.Union(
		flat.Table{flat.Bytes, flat.U64, flat.U64, flat.U64},
		flat.Table{flat.U64, flat.U32, flat.Nested(holderTable)},
		flat.Table{flat.U64},
		flat.Table{},
		flat.Table{flat.Nested(holderTable), flat.U32, flat.U32, flat.Tables(holderTable), flat.U8},
		flat.Table{flat.Tables(nameTable), flat.U8},
		flat.Table{flat.U8, flat.U64},
		flat.Table{flat.U8, flat.Bytes, flat.U64, flat.Nested(holderTable)},
		flat.Table{flat.Bytes, flat.U8, flat.U8, flat.Nested(holderTable), flat.U8},
	)}
)

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
	var h fb.Holder
	switch p.Report {
	case Granted:
		var t fb.Granted
		t.Init(r.Bytes, r.Pos)
		p.Name, p.Token, p.Expires, p.Waited = t.NameBytes(), t.Token(), t.Expires(), t.Waited()
	case Waiting:
		var t fb.Waiting
		t.Init(r.Bytes, r.Pos)
		p.Token, p.Ahead, p.Holder = t.Token(), t.Ahead(), holderOf(t.Holder(&h))
	case Renewed:
		var t fb.Renewed
		t.Init(r.Bytes, r.Pos)
		p.Expires = t.Expires()
	case Done:
	case State:
		t := &p.state
		t.Init(r.Bytes, r.Pos)
		p.Holder, p.Waiting, p.Announced = holderOf(t.Holder(&h)), t.Waiting(), t.Announced()
		p.Count, p.More = t.AnnouncementsLength(), t.More()
	case Names:
		p.names.Init(r.Bytes, r.Pos)
		p.Count, p.More = p.names.NamesLength(), p.names.More()
	case Subscribed:
		var t fb.Subscribed
		t.Init(r.Bytes, r.Pos)
		p.On, p.Sequence = t.On(), t.Sequence()
	case Refused:
		var t fb.Refused
		t.Init(r.Bytes, r.Pos)
		p.Reason, p.Name, p.Waited, p.Holder = t.Reason(), t.NameBytes(), t.Waited(), holderOf(t.Holder(&h))
	case Changed:
		var t fb.Changed
		t.Init(r.Bytes, r.Pos)
		p.Name, p.Change, p.Holder = t.NameBytes(), t.Change(), holderOf(t.Holder(&h))
		p.Announcement, p.LeftOut = t.Announcement(), t.LeftOut()
	default:
		return false
	}
	return true
}
