package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"lockstep/journal"
	"lockstep/wire"
)

// Mending at start waits mendPatience in all for other nodes to have the bytes, and asks all of them every mendEvery:
// a cluster that starts as a whole needs a moment. One fetch of a gap takes mendLimit at most.
const (
	mendPatience = 8 * time.Second
	mendEvery    = 200 * time.Millisecond
	mendLimit    = 5 * time.Second
)

// errPeerLacks says that a node does not have all of a gap, or may not serve it.
var errPeerLacks = errors.New("it does not have all of these bytes")

// mendJournal fills the gaps that Open found in the log with the bytes of other nodes, while this node takes no part
// yet. What cannot be mended within mendPatience is left as it is.
func (n *Node) mendJournal() error {
	deadline := time.Now().Add(mendPatience)
	for {
		gap, ok := n.recovered.Gap()
		if !ok {
			return nil
		}
		n.logf("journal: %s at %s offset %d: asking the other nodes for the bytes of [%d, %d)", n.recovered.Cause,
			n.recovered.Segment, n.recovered.Offset, gap.From, gap.Until)
		err := n.mendGap(gap, deadline)
		if errors.Is(err, errPeerLacks) {
			n.logf("journal: nobody has the bytes of [%d, %d): %v", gap.From, gap.Until, err)
			return nil
		}
		if err != nil {
			return fmt.Errorf("node: %w", err)
		}
	}
}

// mendGap asks every other node in turn until one has bytes that fit. errPeerLacks: none has.
func (n *Node) mendGap(gap journal.Gap, deadline time.Time) error {
	for {
		err := n.fromPeers(gap, n.journal.Mend)
		if !errors.Is(err, errPeerLacks) || n.machine.Inline || time.Now().Add(mendEvery).After(deadline) {
			return err
		}
		time.Sleep(mendEvery)
	}
}

// fromPeers hands the bytes of a gap to mend, from one node after the other until they fit.
func (n *Node) fromPeers(gap journal.Gap, mend func([]byte) error) error {
	lacking := errPeerLacks
	for _, peer := range n.config.Cluster.Nodes {
		if peer.ID == n.config.Node {
			continue
		}
		b, err := n.fetchGap(wire.NodeID(peer.ID), gap)
		if err == nil {
			if err = mend(b); err == nil {
				n.logf("journal: mended [%d, %d) with the bytes of node %d", gap.From, gap.Until, peer.ID)
				return nil
			}
			if !errors.Is(err, journal.ErrMend) {
				return err
			}
		}
		lacking = fmt.Errorf("%w; node %d: %w", lacking, peer.ID, err)
	}
	return lacking
}

// fetchGap fetches a gap from another node: what is synced there, committed or not, as it is checked from both ends.
func (n *Node) fetchGap(server wire.NodeID, gap journal.Gap) ([]byte, error) {
	parent := n.fetches
	if parent == nil { // while the node starts
		parent = context.Background()
	}
	ctx, cancel := context.WithTimeout(parent, mendLimit)
	defer cancel()
	b := make([]byte, 0, gap.Bytes())
	sink := func(piece []byte) error {
		if len(b)+len(piece) > gap.Bytes() {
			return errors.New("more than was asked for")
		}
		b = append(b, piece...)
		return nil
	}
	if n.machine.Fetch != nil { // it serves what is committed
		err := n.machine.Fetch(ctx, server, 0, gap.From, gap.Until, sink)
		return b, err
	}
	for len(b) < gap.Bytes() {
		before := len(b)
		if err := n.fetchSynced(ctx, server, gap.From+wire.Position(before), gap.Until, sink); err != nil {
			return nil, err
		}
		if len(b) == before {
			return nil, fmt.Errorf("nothing beyond position %d", gap.From+wire.Position(before))
		}
	}
	return b, nil
}

func (n *Node) fetchSynced(ctx context.Context, server wire.NodeID, from, until wire.Position,
	sink func([]byte) error) error {
	query := url.Values{"cluster": {ClusterString(n.identity.Cluster)}, "synced": {"1"}, "node": {strconv.Itoa(n.config.Node)},
		"from": {strconv.FormatUint(uint64(from), 10)}, "until": {strconv.FormatUint(uint64(until), 10)}}
	target := "http://" + n.controlOf(server) + pathLog + "?" + query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	response, err := n.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 200))
		return fmt.Errorf("it answers %s: %s", response.Status, text)
	}
	_, err = copyChunks(response.Body, sink)
	return err
}

// makeScrub makes the agent that reads the sealed part of the log again and mends it.
func (n *Node) makeScrub() error {
	o := journal.ScrubOptions{
		BytesPerS: n.config.Journal.ScrubBytesPerS, PauseNs: n.machine.Limits.ScrubPauseNs,
		Limit: func() wire.Position { return min(n.progress.Commit(), wire.Position(n.durable.Load())) },
		Alarm: func(msg string) {
			n.logf("%s", msg)
			n.counters.Error(n.machine.Clock.WallNs(), msg)
		},
	}
	if len(n.config.Cluster.Nodes) > 1 {
		o.Mend = func(gap journal.Gap, try func([]byte) error) error {
			err := n.fromPeers(gap, try)
			if errors.Is(err, errPeerLacks) {
				err = fmt.Errorf("%w: %w", journal.ErrMend, err)
			}
			return err
		}
	}
	var err error
	if n.scrub, err = n.journal.Scrubber(o); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	return nil
}

// SyncedLog returns log bytes from a position on, from disk, as many as are synced here and fit one answer, committed or
// not: for a node whose disk has lost them, which knows from its own records around them whether they are the right
// ones. BelowFloorError where the log that is kept does not go back so far. Any thread.
func (n *Node) SyncedLog(reader wire.NodeID, from, until wire.Position) ([]byte, error) {
	return n.readLogFor(reader, from, min(until, wire.Position(n.durable.Load()), from+catchUpBytes))
}
