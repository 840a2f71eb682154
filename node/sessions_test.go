package node

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"lockstep/sequencer"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

// sessionsAt asks a node for its sessions while all nodes run.
func (c *cluster) sessionsAt(i int, path string) (code int, s Sessions) {
	c.t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathSessions, c.nodes[i].serveSessions)
	mux.HandleFunc("GET "+pathSessions+"/{id}", c.nodes[i].serveSession)
	w, done := httptest.NewRecorder(), make(chan struct{})
	go func() {
		defer close(done)
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	}()
	c.until("an answer about sessions", 10_000, 1_000_000, func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
		c.t.Fatalf("%s: %v", w.Body, err)
	}
	return w.Code, s
}

// The leader says where a session stands with its client, every node what the log says of it.
func TestNodesDescribeSessions(t *testing.T) {
	c := newCluster(t, 3, "replicated", inMemory(t))
	c.until("a session", 100_000, 50_000, func() bool { return c.client.Connected() })
	for range 3 {
		c.roundTrip(wire.LevelApplied, []byte("four"))
	}
	leader, id := c.leaderOf(), SessionString(c.client.Session())
	for i := range c.nodes {
		c.until("all nodes have applied it", 10_000, 100_000, func() bool {
			return c.nodes[i].progress.Applied() == c.nodes[leader].progress.Applied()
		})
		for _, path := range []string{"/sessions", "/sessions/" + id} {
			code, s := c.sessionsAt(i, path)
			if code != http.StatusOK || len(s.Sessions) != 1 || s.Leader != leader+1 || s.Node != i+1 {
				t.Fatalf("node %d, %s: %d %+v", i+1, path, code, s)
			}
			x := s.Sessions[0]
			if x.ID != id || x.Name != "test" || x.State != "open" || x.Window != 256 || x.Applied != 3 || x.Responses != 3 ||
				x.Kept != int(x.Responses-x.Acked) || x.KeptBytes != 4*x.Kept {
				t.Errorf("node %d, %s: %+v", i+1, path, x)
			}
			if l := x.Lead; (l != nil) != (i == leader) ||
				l != nil && (l.Address != "10.0.0.100:7600" || l.Sequenced != 3 || l.Committed != 3 || l.Open != 0 || l.Busy != "") {
				t.Errorf("node %d, %s: %+v", i+1, path, l)
			}
		}
	}
	if code, s := c.sessionsAt(leader, "/sessions/1234"); code != http.StatusNotFound || s.Error == "" {
		t.Errorf("an unknown session: %d %+v", code, s)
	}
	if code, s := c.sessionsAt(leader, "/sessions/here"); code != http.StatusBadRequest || s.Error == "" {
		t.Errorf("no id at all: %d %+v", code, s)
	}
	c.client.Close(c.clock.NowNs())
	c.until("the session is closed", 10_000, 1_000_000, func() bool { return c.client.Closed() })
	for i := range c.nodes {
		c.until("all nodes have applied it", 10_000, 100_000, func() bool {
			return c.nodes[i].progress.Applied() == c.nodes[leader].progress.Applied()
		})
		code, s := c.sessionsAt(i, "/sessions/"+id)
		if code != http.StatusOK || s.Sessions[0].State != "closed" || s.Sessions[0].Closed != "session-closed" ||
			s.Sessions[0].Applied != 3 || s.Sessions[0].Responses != 3 {
			t.Errorf("node %d, a session that is over: %d %+v", i+1, code, s)
		}
		if code, s := c.sessionsAt(i, "/sessions"); code != http.StatusOK || len(s.Sessions) != 0 {
			t.Errorf("node %d, with no session open: %d %+v", i+1, code, s)
		}
	}
}

func TestSessionsOfLogAndLeaderAreJoined(t *testing.T) {
	list := joinSessions(
		[]service.SessionInfo{{Session: 9, Name: "nine"}, {Session: 3, Name: "three", Applied: 7},
			{Session: 6, Closed: wire.RefusalExpired, Applied: 4}},
		[]sequencer.SessionInfo{
			{Session: 9, State: "open", Sequenced: 8, Committed: 5, HeardNs: 2e9, Busy: wire.RefusalBusyWindow,
				Addr: transport.Addr{IP: [4]byte{10, 0, 0, 1}, Port: 5}},
			{Session: 5, State: "opening"},
		})
	if len(list) != 4 || list[0].ID != SessionString(3) || list[0].State != "open" || list[0].Lead != nil {
		t.Fatalf("%+v", list)
	}
	if x := list[1]; x.State != "opening" || x.Lead.Address != "" {
		t.Errorf("one that is not open yet: %+v %+v", x, x.Lead)
	}
	if x := list[2]; x.State != "closed" || x.Closed != "expired" || x.Applied != 4 {
		t.Errorf("one that is over: %+v", x)
	}
	if x := list[3]; x.Name != "nine" || x.Lead.Open != 3 || x.Lead.HeardMs != 2000 || x.Lead.Busy != "busy-window" ||
		x.Lead.Address != "10.0.0.1:5" {
		t.Errorf("one that is open: %+v %+v", x, x.Lead)
	}
}
