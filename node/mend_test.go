package node

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/journal"
	"lockstep/replica"
	"lockstep/transport"
	"lockstep/wire"
)

// rotten makes a cluster of three with a log, stops it, and turns a bit in the middle of the log of the second node. It
// returns what opens that node again, on a machine that asks others as fetch says.
func rotten(t *testing.T) (c *cluster, open func(fetch replica.Fetch) (*Node, string, error)) {
	t.Helper()
	dir := t.TempDir()
	c = newCluster(t, 3, "durable", dir)
	c.until("the client has a session", 1e6, 5000, func() bool { return c.client.Connected() })
	for i := range 40 {
		c.roundTrip(wire.LevelDurable, bytes.Repeat([]byte{byte(i)}, 700))
	}
	c.until("the second node has it all", 1e6, 5000, func() bool {
		return c.nodes[1].durable.Load() == c.nodes[0].ring.Append() && c.nodes[1].progress.Commit() > 20_000
	})
	for range 50 { // the watermark comes up
		c.cycle(1e6)
	}
	config := c.nodes[1].config
	if err := c.nodes[1].Abandon(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(config.Dir, "journal", "00000000000000000000.seg")
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	const at = 4096 + 12_345
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 8
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	return c, func(fetch replica.Fetch) (*Node, string, error) {
		var log bytes.Buffer
		machine := Real()
		machine.Clock, machine.Inline, machine.Fetch = c.clock, true, fetch
		apart := transport.NewMemory(transport.MemoryOptions{})
		machine.Transport = func(config Config) (transport.Transport, error) {
			local, _ := transport.ParseAddr(config.Self().Data)
			return apart.Join(local)
		}
		n, err := OpenOn(machine, config, &log)
		if err == nil {
			t.Cleanup(func() { _ = n.Abandon() })
		}
		return n, log.String(), err
	}
}

// TestP4NodeMendsItsLogFromAPeer: a flipped bit in one log costs nothing but a fetch. The first peer asked has other
// bytes, the second the right ones.
func TestP4NodeMendsItsLogFromAPeer(t *testing.T) {
	c, open := rotten(t)
	asked := map[wire.NodeID]int{}
	n, log, err := open(func(_ context.Context, server wire.NodeID, term wire.Term, from, until wire.Position,
		sink func([]byte) error) error {
		asked[server]++
		if term != 0 {
			t.Errorf("asked as a follower of term %d", term)
		}
		if server == 1 {
			return sink(make([]byte, until-from))
		}
		body, err := c.nodes[2].SyncedLog(2, from, until)
		if err != nil {
			return err
		}
		return sink(body)
	})
	if err != nil {
		t.Fatal(err)
	}
	if n.recovering != "" || n.recovered.Outcome != journal.OutcomeIntact || n.recovered.MendedBytes == 0 {
		t.Errorf("recovering %q, %v, %d bytes mended: %s", n.recovering, n.recovered, n.recovered.MendedBytes, log)
	}
	if asked[1] != 1 || asked[3] != 1 || !strings.Contains(log, "with the bytes of node 3") {
		t.Errorf("asked %v: %s", asked, log)
	}
	if got := n.gauge("lockstep_journal_mended_bytes_total"); got != n.recovered.MendedBytes {
		t.Errorf("%d bytes counted, %d mended", got, n.recovered.MendedBytes)
	}
	own, err := n.readLog(0, n.recovered.Chain.Position)
	if err != nil {
		t.Fatal(err)
	}
	others, err := c.nodes[0].readLog(0, n.recovered.Chain.Position)
	if err != nil || !bytes.Equal(own, others) {
		t.Errorf("the mended log is not that of the others: %v", err)
	}
}

// TestP5DamageThatNobodyMendsIsRecovering: corrupt is unknown, not absent. A node that cannot mend its log neither votes
// nor counts, and says so.
func TestP5DamageThatNobodyMendsIsRecovering(t *testing.T) {
	_, open := rotten(t)
	n, log, err := open(func(context.Context, wire.NodeID, wire.Term, wire.Position, wire.Position,
		func([]byte) error) error {
		return errors.New("nobody answers")
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(n.recovering, "damaged") || !n.recovered.Forgot() || n.recovered.Chain.Position > 12_345 {
		t.Errorf("recovering %q, %v", n.recovering, n.recovered)
	}
	for _, word := range []string{"00000000000000000000.seg offset", "nobody has the bytes", "nobody answers"} {
		if !strings.Contains(log, word) {
			t.Errorf("the log does not say %q: %s", word, log)
		}
	}
}
