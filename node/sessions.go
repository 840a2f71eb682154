package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"lockstep/replica"
	"lockstep/sequencer"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

// Session is a session as a node knows it: what the log says of it as far as it is applied here, and on the leader what
// only a leader knows.
type Session struct {
	ID        string       `json:"id"`
	Name      string       `json:"name"`
	State     string       `json:"state"`            // open, or closed; of a leader also opening and closing
	Closed    string       `json:"closed,omitempty"` // how it ended
	Window    uint32       `json:"window"`
	Applied   uint64       `json:"applied"`        // correlation of the newest message applied
	NoEffect  uint64       `json:"no_effect"`      // messages that were refused for good or voided
	Responses uint64       `json:"responses"`      // last one given out
	Acked     uint64       `json:"acked"`          // last one that the log says the client has
	Kept      int          `json:"kept"`           // responses kept for the client
	KeptBytes int          `json:"kept_bytes"`     // of their payloads
	Lead      *LeadSession `json:"lead,omitempty"` // nil: this node does not lead
}

// LeadSession is what only the leader knows of a session.
type LeadSession struct {
	Address   string `json:"address,omitempty"` // of the client; none until it has proven one to this leader
	Sequenced uint64 `json:"sequenced"`         // correlation of the newest message in the log
	Committed uint64 `json:"committed"`
	Open      uint64 `json:"open"`           // messages in the log whose records are not committed
	Received  uint64 `json:"received"`       // last response that the client says it has
	HeardMs   int64  `json:"heard_ms"`       // since the client was last heard
	Busy      string `json:"busy,omitempty"` // what it was told when its next message was not taken; none since one was
}

// Sessions is what /sessions and /sessions/ID answer.
type Sessions struct {
	Node     int       `json:"node"`
	Role     string    `json:"role"`
	Term     uint64    `json:"term"`
	Leader   int       `json:"leader"`
	Sessions []Session `json:"sessions"` // by id
	Error    string    `json:"error,omitempty"`
}

// ErrNoSession says that a node knows no session of that id.
var ErrNoSession = errors.New("no such session")

// Bounds of a look at sessions.
const (
	sessionsLimit  = 3 * time.Second // for all of it
	sessionsPause  = 10 * time.Millisecond
	sessionsAtOnce = 256 // slots that the core thread looks at in one cycle
)

// SessionString prints a session's id as people see it.
func SessionString(id wire.SessionID) string { return fmt.Sprintf("%016x", uint64(id)) }

// ParseSession reads what SessionString prints.
func ParseSession(s string) (wire.SessionID, error) {
	id, err := strconv.ParseUint(s, 16, 64)
	if err != nil || id == 0 {
		return 0, fmt.Errorf("session id %q: want up to 16 hexadecimal digits, as lockstep client sessions prints them", s)
	}
	return wire.SessionID(id), nil
}

func (n *Node) serveSessions(w http.ResponseWriter, r *http.Request) { n.answerSessions(w, r, 0) }

func (n *Node) serveSession(w http.ResponseWriter, r *http.Request) {
	id, err := ParseSession(r.PathValue("id"))
	if err != nil {
		n.encodeSessions(w, http.StatusBadRequest, &Sessions{Error: err.Error()})
		return
	}
	n.answerSessions(w, r, id)
}

// answerSessions describes all sessions, or one.
func (n *Node) answerSessions(w http.ResponseWriter, r *http.Request, one wire.SessionID) {
	list, err := n.Sessions(r.Context(), one)
	answer, code := Sessions{Sessions: list}, http.StatusOK
	switch {
	case err != nil:
		answer.Error, code = err.Error(), http.StatusServiceUnavailable
	case one != 0 && len(list) == 0:
		answer.Error, code = fmt.Sprintf("%v: %s (closed too long ago, or never there)", ErrNoSession, SessionString(one)), http.StatusNotFound
	}
	n.encodeSessions(w, code, &answer)
}

func (n *Node) encodeSessions(w http.ResponseWriter, code int, s *Sessions) {
	s.Node, s.Role = n.config.Node, replica.Role(n.gauge("lockstep_role")).String()
	s.Term, s.Leader = n.gauge("lockstep_term"), int(n.gauge("lockstep_leader"))
	if s.Sessions == nil {
		s.Sessions = []Session{}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(s) // who asked may be gone
}

// Sessions describes all sessions, or one: none if it is not known. They are looked at by the threads that they belong
// to, a few at a time, so that nothing waits for it. Any goroutine but those.
func (n *Node) Sessions(ctx context.Context, one wire.SessionID) ([]Session, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, sessionsLimit, errors.New("the node is too busy to say: ask again"))
	defer cancel()
	var applied []service.SessionInfo
	err := insist(ctx, service.ErrInspecting, func() (err error) {
		applied, err = n.driver.Sessions(ctx, one)
		return err
	})
	if err != nil {
		return nil, err
	}
	var led []sequencer.SessionInfo
	err = insist(ctx, replica.ErrOperatorBusy, func() (err error) {
		led, err = n.ledSessions(ctx, one, len(applied))
		return err
	})
	return joinSessions(applied, led), err
}

// insist does something again while somebody else is at it.
func insist(ctx context.Context, busy error, do func() error) error {
	for {
		err := do()
		if !errors.Is(err, busy) {
			return err
		}
		select {
		case <-time.After(sessionsPause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// ledSessions asks the core thread what it knows while it leads.
func (n *Node) ledSessions(ctx context.Context, one wire.SessionID, about int) ([]sequencer.SessionInfo, error) {
	led, from := make([]sequencer.SessionInfo, 0, about+16), 0
	look := func(nowNs int64) bool {
		if one != 0 {
			if x, ok := n.sequencer.Session(nowNs, one); ok {
				led = append(led, x)
			}
			return true
		}
		from, led = n.sequencer.Sessions(nowNs, from, sessionsAtOnce, led)
		return from == 0
	}
	a := n.operator.Ask(ctx, replica.OperatorRequest{Kind: replica.OperatorLook, Look: look}, sessionsLimit)
	if a.Err != nil {
		return nil, a.Err // led is the core thread's for as long as it goes on
	}
	return led, nil
}

// joinSessions puts together what the log and what the leader says, by id.
func joinSessions(applied []service.SessionInfo, led []sequencer.SessionInfo) []Session {
	list := make([]Session, 0, max(len(applied), len(led)))
	at := make(map[wire.SessionID]int, len(applied))
	for i := range applied {
		x := &applied[i]
		at[x.Session] = len(list)
		if x.Closed != wire.RefusalNone {
			list = append(list, Session{ID: SessionString(x.Session), State: "closed", Closed: x.Closed.Name(), Applied: x.Applied,
				Responses: x.Responses})
			continue
		}
		list = append(list, Session{ID: SessionString(x.Session), Name: x.Name, State: "open", Window: x.Window,
			Applied: x.Applied, NoEffect: x.Refused, Responses: x.Responses, Acked: x.Acked, Kept: x.Kept, KeptBytes: x.KeptBytes})
	}
	for i := range led {
		x := &led[i]
		k, known := at[x.Session]
		if !known { // not open yet, or no more
			k = len(list)
			list = append(list, Session{ID: SessionString(x.Session), Window: x.Window, Applied: x.Applied, Responses: x.Responses})
		}
		list[k].State, list[k].Lead = x.State, leadSession(x)
	}
	slices.SortFunc(list, func(a, b Session) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

func leadSession(x *sequencer.SessionInfo) *LeadSession {
	l := &LeadSession{Sequenced: x.Sequenced, Committed: x.Committed, Open: x.Sequenced - x.Committed, Received: x.Received,
		HeardMs: x.HeardNs / 1e6}
	if x.Addr != (transport.Addr{}) {
		l.Address = x.Addr.String()
	}
	if x.Busy != wire.RefusalNone {
		l.Busy = x.Busy.Name()
	}
	return l
}

// FetchSessions asks a node's control plane for all sessions, or for one. ErrNoSession: the node knows none of that id.
func FetchSessions(ctx context.Context, client *http.Client, control string, one wire.SessionID) (Sessions, error) {
	var s Sessions
	path := pathSessions
	if one != 0 {
		path += "/" + SessionString(one)
	}
	ctx, cancel := context.WithTimeout(ctx, sessionsLimit+2*time.Second)
	defer cancel()
	response, body, err := ask(ctx, client, http.MethodGet, control, path, nil)
	if err != nil {
		return s, err
	}
	switch err = json.Unmarshal(body, &s); {
	case err != nil:
		return s, fmt.Errorf("%s answers %s: %.200s", control, response.Status, body)
	case response.StatusCode == http.StatusNotFound:
		return s, fmt.Errorf("node %d: %w: %s", s.Node, ErrNoSession, SessionString(one))
	case response.StatusCode != http.StatusOK:
		return s, fmt.Errorf("node %d: %s", s.Node, s.Error)
	}
	return s, nil
}
