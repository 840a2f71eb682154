package node

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"lockstep/wire"
)

// A fetch asks again after fetchIdle when the server has no more committed and synced bytes yet, and gives up after
// fetchPatience without any.
const (
	fetchIdle     = 10 * time.Millisecond
	fetchPatience = 3 * time.Second
	fetchLimit    = 10 * time.Second // for one request: a server that hangs is given up
)

// fetch streams log bytes of another node's disk (replica.Fetch). It ends when all are there, when ctx ends, or with
// the first error: the core then asks again, maybe somebody else.
func (n *Node) fetch(ctx context.Context, server wire.NodeID, term wire.Term, from, until wire.Position,
	sink func([]byte) error) error {
	progress := time.Now()
	for from < until {
		got, err := n.fetchOnce(ctx, server, term, from, until, sink)
		if err != nil {
			return err
		}
		from += got
		if got > 0 {
			progress = time.Now()
			continue
		}
		if time.Since(progress) > fetchPatience {
			return fmt.Errorf("node %d has had nothing beyond %d for %v", server, from, fetchPatience)
		}
		select {
		case <-time.After(fetchIdle):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (n *Node) fetchOnce(ctx context.Context, server wire.NodeID, term wire.Term, from, until wire.Position,
	sink func([]byte) error) (wire.Position, error) {
	query := url.Values{
		"cluster": {ClusterString(n.identity.Cluster)},
		"node":    {strconv.Itoa(n.config.Node)},
		"term":    {strconv.FormatUint(uint64(term), 10)},
		"from":    {strconv.FormatUint(uint64(from), 10)},
		"until":   {strconv.FormatUint(uint64(until), 10)},
	}
	target := "http://" + n.controlOf(server) + pathLog + "?" + query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return 0, err
	}
	response, err := n.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusGone {
		floor, err := strconv.ParseUint(response.Header.Get(headerFloor), 10, 64)
		if err == nil {
			return 0, fmt.Errorf("node %d: %w", server, &BelowFloorError{wire.Position(floor)})
		}
	}
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 200))
		return 0, fmt.Errorf("%s answers %s: %s", target, response.Status, text)
	}
	return copyChunks(io.LimitReader(response.Body, int64(until-from)), sink) // no more than was asked for
}

// copyChunks hands a body over in pieces that fit the log ring many times.
func copyChunks(body io.Reader, sink func([]byte) error) (wire.Position, error) {
	buffer := make([]byte, 64<<10)
	total := wire.Position(0)
	for {
		got, err := io.ReadFull(body, buffer)
		if got > 0 {
			if err := sink(buffer[:got]); err != nil {
				return total, err
			}
			total += wire.Position(got)
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}
