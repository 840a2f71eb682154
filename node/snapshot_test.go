package node

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"lockstep/replica"
	"lockstep/service"
	"lockstep/wire"
)

// verifiedBy says whether every node that runs has heard that a position is verified, and shows it.
func (c *cluster) verifiedBy(at wire.Position) bool {
	for i, n := range c.nodes {
		if !c.down[i] && (n.core.Verified() != at || n.Status().SnapshotVerified != uint64(at)) {
			return false
		}
	}
	return true
}

// snapshotRecords are the snapshot records of a node's log, in order, and where each ends.
func (c *cluster) snapshotRecords(i int) (records []wire.SnapshotRecord, ends []wire.Position) {
	c.t.Helper()
	log, err := c.nodes[i].readLog(0, wire.Position(c.nodes[i].durable.Load()))
	if err != nil {
		c.t.Fatal(err)
	}
	for at := 0; at < len(log); {
		var r wire.Record
		wire.DecodeRecord(log[at:], &r)
		if r.Kind == wire.RecordSnapshot {
			var x wire.SnapshotRecord
			if !x.Decode(wire.Payload(log[at:], &r)) {
				c.t.Fatalf("the snapshot record at %d does not decode", r.Position)
			}
			records, ends = append(records, x), append(ends, r.End())
		}
		at = int(r.End())
	}
	return records, ends
}

func TestOperatorAsksForASnapshot(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		c := newCluster(t, nodes, "durable", t.TempDir())
		c.until("a session", 100_000, 50_000, func() bool { return c.client.Connected() })
		c.roundTrip(wire.LevelApplied, []byte("before"))
		leader := c.leaderOf()
		if nodes > 1 {
			answer := c.ask((leader+1)%3, replica.OperatorRequest{Kind: replica.OperatorSnapshot})
			if !errors.Is(answer.Err, replica.ErrNotLeading) {
				t.Errorf("a follower answers %+v", answer)
			}
		}
		var want []wire.SnapshotRecord
		for _, byLeader := range []bool{false, true} {
			answer := c.ask(leader, replica.OperatorRequest{Kind: replica.OperatorSnapshot, Leader: byLeader})
			if answer.Err != nil || answer.At == 0 {
				t.Fatalf("asked for a snapshot: %+v", answer)
			}
			c.until("a majority to verify it", 1_000_000, 10_000, func() bool { return c.verifiedBy(answer.At) })
			digest := c.nodes[leader].core.Verified()
			if digest != answer.At {
				t.Errorf("verified at %d, asked for at %d", digest, answer.At)
			}
			_, d := c.nodes[leader].progress.Snapshot()
			want = append(want, wire.SnapshotRecord{Take: true, Leader: byLeader || nodes == 1},
				wire.SnapshotRecord{Verified: answer.At, Digest: d})
		}
		c.until("the log to be synced", 1_000_000, 10_000, func() bool {
			return c.nodes[leader].durable.Load() == c.nodes[leader].ring.Append()
		})
		records, ends := c.snapshotRecords(leader)
		if len(records) != len(want) {
			t.Fatalf("%d nodes: the log has %+v, want %+v", nodes, records, want)
		}
		for i := range records {
			if records[i] != want[i] || records[i].Verified > 0 && records[i].Verified != ends[i-1] {
				t.Errorf("%d nodes: record %d is %+v, want %+v", nodes, i, records[i], want[i])
			}
		}
		s := c.nodes[leader].Status()
		if s.SnapshotRecord != uint64(ends[2]) || s.SnapshotVerified != uint64(ends[2]) {
			t.Errorf("/status says %d and %d, want %d", s.SnapshotRecord, s.SnapshotVerified, ends[2])
		}
	}
}

// The leader asks each time that the log has grown by so much, also the next one; a majority verifies each.
func TestSnapshotsAreTakenByThemselves(t *testing.T) {
	const every = 1 << 14
	c := newClusterOf(t, 3, "replicated", inMemory(t), nil, func(config *Config) { config.Snapshot.EveryBytes = every })
	c.until("a session", 100_000, 50_000, func() bool { return c.client.Connected() })
	payload := bytes.Repeat([]byte("x"), 1000)
	talk := func() {
		for range 60 {
			c.roundTrip(wire.LevelApplied, payload)
		}
		c.until("a verified snapshot", 1_000_000, 10_000, func() bool {
			at := c.nodes[c.leaderOfRunning()].core.Verified()
			return c.verifiedBy(at) && uint64(at)+every+1100 > c.nodes[c.leaderOfRunning()].ring.Append()
		})
	}
	talk()
	first := c.leaderOf()
	c.ask(first, replica.OperatorRequest{Kind: replica.OperatorHandOver})
	c.until("the next leader", 100_000, 50_000, func() bool { return c.leaderOf() != first && c.client.Open() == 0 })
	talk()
	leader := c.leaderOf()
	c.until("the log to be synced", 1_000_000, 10_000, func() bool {
		return c.nodes[leader].durable.Load() == c.nodes[leader].ring.Append()
	})
	records, ends := c.snapshotRecords(leader)
	var asked, last wire.Position
	count := 0
	for i, r := range records {
		if r.Take {
			count++
			if ends[i]-last < every {
				t.Errorf("asked for at %d, and before that at %d", ends[i], last)
			}
			last, asked = ends[i], ends[i]
		}
		if r.Verified > asked {
			t.Errorf("verified at %d, asked for at %d", r.Verified, asked)
		}
	}
	if size := c.nodes[leader].ring.Append(); count < int(size/(every+2000)) || count > int(size/every) {
		t.Errorf("%d snapshots are asked for in %d bytes", count, size)
	}
}

// forgetful is an echo whose state goes wrong when it is told to, and whose answers stay right.
type forgetful struct{ wrong }

func (s *forgetful) Apply(ctx *service.Context, r *wire.Record, payload []byte) {
	s.answered++
	ctx.Respond(r.Session, payload)
}

func (s *forgetful) Hash() uint64 {
	if *s.told {
		return 7
	}
	return s.answered
}

// forgetfulCluster is a cluster of which any node's state goes wrong when it is told to.
func forgetfulCluster(t *testing.T) (c *cluster, told []*bool) {
	c = newClusterOn(t, 3, "durable", t.TempDir(), func(i int, m *Machine) {
		if len(told) == i {
			told = append(told, new(bool))
		}
		m.Services = func(s *[service.MaxServices]service.Service) { s[fragileID] = &forgetful{wrong{told: told[i]}} }
	})
	c.until("a session", 100_000, 50_000, func() bool { return c.client.Connected() })
	c.mayEnd = true
	c.say("something")
	c.until("an answer", 100_000, 10_000, func() bool { return c.client.Open() == 0 })
	return c, told
}

func TestNodeWhoseStateDiffersStopsAtTheNextSnapshot(t *testing.T) {
	for _, who := range []string{"a follower", "the leader"} {
		t.Run(who, func(t *testing.T) {
			c, told := forgetfulCluster(t)
			leader := c.leaderOf()
			bad := leader
			if who == "a follower" {
				bad = (leader + 1) % 3
			}
			*told[bad] = true
			c.say("its answers are right")
			c.until("an answer", 100_000, 10_000, func() bool { return c.client.Open() == 0 })
			if call := c.nodes[leader].operator.Begin(replica.OperatorRequest{Kind: replica.OperatorSnapshot}); call == nil {
				t.Fatal("the mailbox is taken")
			}
			c.until("it to stop", 1_000_000, 10_000, func() bool { return c.down[bad] })
			if err := c.ended[bad].Error(); !strings.Contains(err, "digest") || !strings.Contains(err, "position") {
				t.Errorf("it stops with %q", err)
			}
			for i := range c.nodes {
				if i != bad && c.down[i] {
					t.Errorf("node %d stops too: %v", i+1, c.ended[i])
				}
			}
			c.until("the others to verify", 1_000_000, 10_000, func() bool {
				at := c.leaderOfRunning()
				return at >= 0 && c.nodes[at].core.Verified() > 0 && c.verifiedBy(c.nodes[at].core.Verified())
			})
			// Its state was wrong, not its log: started again it comes to the right one.
			*told[bad] = false
			c.syncRest(bad)
			c.restart(bad)
			c.until("all to agree", 1_000_000, 10_000, c.sameState)
		})
	}
}

// miscounting is an echo that counts, and miscounts once when it is told to. What it counted wrongly is in its snapshots.
type miscounting struct {
	wrong
	off uint64
}

func (s *miscounting) Apply(ctx *service.Context, r *wire.Record, payload []byte) {
	if s.answered++; *s.told {
		s.off = 1
	}
	ctx.Respond(r.Session, payload)
}

func (s *miscounting) Hash() uint64 { return s.answered + s.off<<32 }

func (s *miscounting) Snapshot(w io.Writer) error {
	return binary.Write(w, binary.LittleEndian, []uint64{s.answered, s.off})
}

func (s *miscounting) Restore(r io.Reader) error {
	var b [2]uint64
	err := binary.Read(r, binary.LittleEndian, b[:])
	s.answered, s.off = b[0], b[1]
	return err
}

// A node that miscounted has a snapshot that holds it, whole by all its checksums. It must not begin from that again.
func TestNodeThatDivergedDoesNotBeginFromItsOwnSnapshot(t *testing.T) {
	var told []*bool
	c := newClusterOn(t, 3, "durable", t.TempDir(), func(i int, m *Machine) {
		if len(told) == i {
			told = append(told, new(bool))
		}
		m.Services = func(s *[service.MaxServices]service.Service) {
			s[fragileID] = &miscounting{wrong: wrong{told: told[i]}}
		}
	})
	c.until("a session", 100_000, 50_000, func() bool { return c.client.Connected() })
	c.mayEnd = true
	leader := c.leaderOf()
	bad, away := (leader+1)%3, (leader+2)%3
	snapshot := func() wire.Position {
		answer := c.ask(leader, replica.OperatorRequest{Kind: replica.OperatorSnapshot})
		if answer.Err != nil {
			t.Fatal(answer.Err)
		}
		c.until("the snapshot", 1_000_000, 10_000, func() bool {
			held := c.nodes[bad].store.List()
			return len(held) > 0 && held[len(held)-1].Position() == answer.At
		})
		return answer.At
	}
	first := snapshot()
	c.until("a verified one", 1_000_000, 10_000, func() bool { return c.verifiedBy(first) })
	c.stop(away) // so that nobody knows yet who is right
	*told[bad] = true
	c.say("one")
	c.until("an answer, and the follower to apply it", 100_000, 10_000, func() bool {
		return c.client.Open() == 0 && c.nodes[bad].progress.Applied() == c.nodes[leader].progress.Applied()
	})
	*told[bad] = false
	second := snapshot()
	c.down[away] = false
	c.until("it to stop", 1_000_000, 10_000, func() bool { return c.down[bad] })
	c.syncRest(bad)
	c.restart(bad)
	if at := c.nodes[bad].base; at != first {
		t.Errorf("it begins at %d; its own state at %d was wrong, that at %d right", at, second, first)
	}
	c.until("all to agree", 1_000_000, 10_000, func() bool { return !c.down[bad] && c.sameState() })
}

func TestNothingIsVerifiedWhileNoMajorityAgreesAboutTheState(t *testing.T) {
	c, told := forgetfulCluster(t)
	leader := c.leaderOf()
	away := (leader + 1) % 3
	c.stop(away)
	*told[leader] = true
	answer := c.ask(leader, replica.OperatorRequest{Kind: replica.OperatorSnapshot})
	c.until("a dispute", 100_000, 50_000, func() bool { return c.nodes[leader].core.SnapshotDisputed() == answer.At })
	c.until("the gauge", 1_000_000, 100, func() bool {
		n := c.nodes[leader]
		return n.gauge("lockstep_snapshot_disputed") == 1 && n.gauge("lockstep_snapshot_disputes_total") == 1
	})
	if !strings.Contains(c.logs[leader].String(), "disagree about the state") {
		t.Errorf("the log says nothing of it: %s", c.logs[leader])
	}
	c.say("clients are served meanwhile")
	c.until("an answer", 100_000, 10_000, func() bool { return c.client.Open() == 0 })
	if at := c.nodes[leader].core.Verified(); at != 0 {
		t.Errorf("verified at %d", at)
	}
	c.down[away] = false
	c.until("the wrong one to stop", 1_000_000, 5000, func() bool { return c.down[leader] })
}

// While apply has halted on the leader nobody would come to the record.
func TestSnapshotIsRefusedWhileApplyHasHalted(t *testing.T) {
	c, _ := fragileCluster(t, "durable")
	c.say("poison")
	c.until("all to halt", 100_000, 10_000, c.halted)
	c.cycle(2_000_000) // the gauges are set
	w := httptest.NewRecorder()
	c.nodes[c.leaderOf()].serveSnapshot(w, httptest.NewRequest(http.MethodPost, SnapshotPath, nil))
	if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "halted") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestSnapshotRequestsAreChecked(t *testing.T) {
	c := newCluster(t, 3, "durable", inMemory(t))
	c.until("a session", 100_000, 50_000, func() bool { return c.client.Connected() })
	w := httptest.NewRecorder()
	c.nodes[0].serveSnapshot(w, httptest.NewRequest(http.MethodPost, SnapshotPath+"?leader=2", nil))
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "leader") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
