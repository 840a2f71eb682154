package inspect

import (
	"fmt"

	"lockstep/service"
	"lockstep/wire"
)

// Record is a record as JSON shows it. Numbers of 64 bits that nobody counts in are hexadecimal text: as JSON's numbers
// they would lose digits in many programs.
type Record struct {
	Position    wire.Position `json:"position"`
	Sequence    uint64        `json:"sequence"`
	Time        string        `json:"time"`
	Timestamp   uint64        `json:"timestamp"` // ns since the Unix epoch
	Term        wire.Term     `json:"term"`
	Kind        string        `json:"kind"`
	Service     uint16        `json:"service,omitempty"`
	Session     string        `json:"session,omitempty"`
	Correlation uint64        `json:"correlation,omitempty"`
	Acked       uint32        `json:"acked,omitempty"`
	Flags       uint8         `json:"flags,omitempty"`
	Length      uint32        `json:"length"`
	Checksum    string        `json:"checksum"`

	// What the payload says, by kind and service.
	Order  *Order   `json:"order,omitempty"`
	Opened *Session `json:"opened,omitempty"`
	Reason string   `json:"reason,omitempty"`
	Leader *Leader  `json:"leader,omitempty"`
	Config *Config  `json:"config,omitempty"`
	Timer  *Timer   `json:"timer,omitempty"`
	Skips  *uint64  `json:"skips,omitempty"` // position of the record that is passed over
	Asks   *Asks    `json:"snapshot,omitempty"`

	// A payload that is of none of these.
	PayloadBytes int    `json:"payload_bytes,omitempty"`
	Payload      []byte `json:"payload,omitempty"` // base64

	// The responses that it caused, to any session, in order; View leaves them out.
	Outputs []Output `json:"outputs,omitempty"`
}

// Session is what a session-open record says.
type Session struct {
	Name   string `json:"name"`
	Token  string `json:"token"`
	Window uint32 `json:"window"`
}

// Leader is what a term record says of the leader.
type Leader struct {
	Node        wire.NodeID `json:"node"`
	Incarnation string      `json:"incarnation"`
	Run         uint32      `json:"run"`
	Version     uint32      `json:"version"`
}

// Config is what a config record says.
type Config struct {
	Rule          string   `json:"rule"`
	RingBytes     uint64   `json:"ring_bytes"`
	MaxMessage    uint32   `json:"max_message"`
	Version       uint32   `json:"version"`
	Sessions      uint32   `json:"sessions"`
	KeptResponses uint32   `json:"kept_responses"`
	KeptBytes     uint32   `json:"kept_bytes"`
	ByOperator    bool     `json:"by_operator,omitempty"`
	Members       []Member `json:"members"`
}

// Timer is a service's timer that fires.
type Timer struct {
	ID       string `json:"id"`
	Deadline string `json:"deadline"`
}

// Asks is what a snapshot record says: that nodes take a snapshot at its end, which earlier one is verified, or both.
type Asks struct {
	Followers bool          `json:"followers,omitempty"` // every follower takes one
	Leader    bool          `json:"leader,omitempty"`
	Verified  wire.Position `json:"verified,omitempty"` // a majority has the digest there
	Digest    string        `json:"digest,omitempty"`
}

// Member is a voter.
type Member struct {
	Node        wire.NodeID `json:"node"`
	Incarnation string      `json:"incarnation"` // 0: not admitted
	Run         uint32      `json:"run"`
}

// Hex is how session ids, tokens and incarnations are written.
func Hex[T ~uint64](v T) string { return fmt.Sprintf("%016x", uint64(v)) }

// View is a record as JSON shows it. It refers to the payload.
func View(r *wire.Record, payload []byte) *Record {
	v := &Record{
		Position: r.Position, Sequence: r.Sequence, Time: Stamp(r.Timestamp), Timestamp: r.Timestamp, Term: r.Term,
		Kind: r.Kind.String(), Service: r.Service, Correlation: r.Correlation, Acked: r.Acked, Flags: r.Flags,
		Length: r.Length, Checksum: fmt.Sprintf("%08x", r.Checksum),
	}
	if r.Session != 0 {
		v.Session = Hex(r.Session)
	}
	if !v.read(r, payload) {
		v.PayloadBytes, v.Payload = len(payload), payload
	}
	return v
}

// read fills in what the payload says; false when nothing here can read it.
func (v *Record) read(r *wire.Record, payload []byte) bool {
	if r.Flags != 0 {
		return false
	}
	switch r.Kind {
	case wire.RecordMessage:
		switch r.Service {
		case service.OrderBook:
			return v.readOrder(payload)
		case service.None:
			return v.readReason(payload)
		}
	case wire.RecordSessionOpen:
		var open wire.SessionOpen
		if open.Decode(payload) {
			v.Opened = &Session{Name: string(open.Name), Token: Hex(open.Token), Window: open.Window}
		}
		return v.Opened != nil
	case wire.RecordSessionClose:
		return v.readReason(payload)
	case wire.RecordTerm:
		var term wire.TermRecord
		if term.Decode(payload) {
			v.Leader = &Leader{Node: term.Leader, Incarnation: Hex(term.Incarnation), Run: term.Run,
				Version: term.Version}
		}
		return v.Leader != nil
	case wire.RecordConfig:
		var config wire.Config
		if config.Decode(payload) {
			v.Config = viewConfig(&config)
		}
		return v.Config != nil
	case wire.RecordTimer:
		var timer wire.TimerRecord
		if timer.Decode(payload) {
			v.Timer = &Timer{ID: Hex(timer.ID), Deadline: Stamp(timer.Deadline)}
		}
		return v.Timer != nil
	case wire.RecordSnapshot:
		var snapshot wire.SnapshotRecord
		if snapshot.Decode(payload) {
			v.Asks = &Asks{Followers: snapshot.Take, Leader: snapshot.Leader, Verified: snapshot.Verified}
			if snapshot.Verified > 0 {
				v.Asks.Digest = Hex(snapshot.Digest)
			}
		}
		return v.Asks != nil
	case wire.RecordSkip:
		var skip wire.SkipRecord
		if skip.Decode(payload) {
			at := uint64(skip.Position)
			v.Skips = &at
		}
		return v.Skips != nil
	}
	return false
}

func (v *Record) readReason(payload []byte) bool {
	var why wire.Reason
	if !why.Decode(payload) {
		return false
	}
	if why.Code != wire.RefusalNone {
		v.Reason = why.Code.Name()
	}
	return true
}

func (v *Record) readOrder(payload []byte) bool {
	v.Order = ViewOrder(payload)
	return v.Order != nil
}

func viewConfig(c *wire.Config) *Config {
	v := &Config{Rule: c.Rule.String(), RingBytes: c.RingBytes, MaxMessage: c.MaxMessage, Version: c.Version,
		Sessions: c.Limits.Sessions, KeptResponses: c.Limits.KeptResponses, KeptBytes: c.Limits.KeptBytes,
		ByOperator: c.ByOperator}
	for _, m := range c.Member[:c.Members] {
		v.Members = append(v.Members, Member{Node: m.Node, Incarnation: Hex(m.Incarnation), Run: m.Run})
	}
	return v
}
