package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"lockstep/journal/snapshot"
	"lockstep/wire"
)

// Paths and headers of snapshots on the control plane.
const (
	pathSnapshots = "/snapshots" // and below it <position>/data
	headerFloor   = "Lockstep-Floor"
)

// BelowFloorError says that log was asked for that a node does not keep any more.
type BelowFloorError struct {
	Floor wire.Position // where its log begins
}

// Error implements error.
func (e *BelowFloorError) Error() string {
	return fmt.Sprintf("the log that is kept begins at position %d", e.Floor)
}

// Offer is a snapshot that a node holds.
type Offer struct {
	Manifest snapshot.Manifest
	Verified bool // a majority had the same state there, as that node's log says
}

// Listing is what a node says of the log and the snapshots that others can have of it.
type Listing struct {
	Floor  wire.Position // where its log begins
	Commit wire.Position // how much of it is committed, and synced there
	Offers []Offer       // ascending by position
}

// Listing says what this node offers to others. Any thread.
func (n *Node) Listing() Listing {
	return Listing{Floor: n.keeper.logFloor(), Commit: min(n.progress.Commit(), wire.Position(n.durable.Load())),
		Offers: n.keeper.offers()}
}

// SnapshotRange is what another node asks for of a snapshot.
type SnapshotRange struct {
	At      wire.Position // of the snapshot
	Offset  int64         // in its data
	Install bool          // it is to be installed: the log behind it will be asked for
}

// SnapshotBytes copies bytes of a snapshot into b, for another node, and returns how many; io.EOF with the last. The snapshot
// stays for a while after. snapshot.ErrNotHeld. Any thread.
func (n *Node) SnapshotBytes(reader wire.NodeID, r SnapshotRange, b []byte) (int, error) {
	n.pins.readsSnapshot(reader, r, n.machine.Clock.NowNs())
	offset := r.Offset
	data, err := n.store.OpenAt(r.At)
	if err != nil {
		return 0, err
	}
	defer data.Close()
	m := data.Manifest()
	if offset < 0 || offset > m.Bytes {
		return 0, fmt.Errorf("offset %d: the snapshot has %d bytes", offset, m.Bytes)
	}
	b = b[:min(int64(len(b)), m.Bytes-offset)]
	got, err := data.ReadAt(b, offset)
	if got == len(b) {
		err = nil
	}
	if err == nil && offset+int64(got) == m.Bytes {
		err = io.EOF
	}
	return got, err
}

// listing is a Listing as it is sent.
type listing struct {
	Cluster string  `json:"cluster"`
	Node    int     `json:"node"`
	Floor   uint64  `json:"floor"`
	Commit  uint64  `json:"commit"`
	Offers  []offer `json:"snapshots"`
}

type offer struct {
	Position uint64 `json:"position"`
	Bytes    int64  `json:"bytes"`
	Verified bool   `json:"verified"`
	Manifest string `json:"manifest"` // as its file has it
}

// serveSnapshots lists the snapshots of this node.
func (n *Node) serveSnapshots(w http.ResponseWriter, _ *http.Request) {
	l := n.Listing()
	out := listing{Cluster: ClusterString(n.identity.Cluster), Node: n.config.Node, Floor: uint64(l.Floor),
		Commit: uint64(l.Commit), Offers: []offer{}}
	for i := range l.Offers {
		m := &l.Offers[i].Manifest
		out.Offers = append(out.Offers, offer{Position: uint64(m.Position()), Bytes: m.Bytes,
			Verified: l.Offers[i].Verified, Manifest: string(m.Encode())})
	}
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(&out) // who went away asks again
}

// serveSnapshotData sends the data of a snapshot, or the range of it that is asked for.
func (n *Node) serveSnapshotData(w http.ResponseWriter, r *http.Request) {
	at, err := strconv.ParseUint(r.PathValue("position"), 10, 64)
	if err != nil {
		http.Error(w, "want /snapshots/POSITION/data, with a position that /snapshots lists", http.StatusBadRequest)
		return
	}
	m, err := n.store.Get(wire.Position(at))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	body := &pinned{n: n, reader: reader(r), m: &m, install: r.FormValue("install") != ""}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, body)
}

// reader is who asks, as far as it says so.
func reader(r *http.Request) wire.NodeID {
	id, _ := strconv.ParseUint(r.FormValue("node"), 10, 8)
	return wire.NodeID(id)
}

// pinned is the data of a snapshot as http.ServeContent reads it: every read says that somebody does.
type pinned struct {
	n       *Node
	reader  wire.NodeID
	m       *snapshot.Manifest
	offset  int64
	install bool
}

// Read implements io.Reader.
func (p *pinned) Read(b []byte) (int, error) {
	got, err := p.n.SnapshotBytes(p.reader, SnapshotRange{p.m.Position(), p.offset, p.install}, b)
	p.offset += int64(got)
	if got > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return got, err
}

// Seek implements io.Seeker.
func (p *pinned) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += p.offset
	case io.SeekEnd:
		offset += p.m.Bytes
	}
	if offset < 0 {
		return 0, errors.New("before the beginning")
	}
	p.offset = offset
	return offset, nil
}

// offersLimit bounds what a listing may be long.
const offersLimit = 1 << 20

// askOffers asks another node what it offers.
func (n *Node) askOffers(ctx context.Context, server wire.NodeID) (l Listing, err error) {
	body, err := n.ask(ctx, server, pathSnapshots, url.Values{}, "", http.StatusOK)
	if err != nil {
		return l, err
	}
	defer body.Close()
	var in listing
	if err := json.NewDecoder(io.LimitReader(body, offersLimit)).Decode(&in); err != nil {
		return l, fmt.Errorf("node %d: %w", server, err)
	}
	if own := ClusterString(n.identity.Cluster); in.Cluster != own {
		return l, fmt.Errorf("node %d is of cluster %s", server, in.Cluster)
	}
	l.Floor, l.Commit = wire.Position(in.Floor), wire.Position(in.Commit)
	for i := range in.Offers {
		o := Offer{Verified: in.Offers[i].Verified}
		if err := o.Manifest.Decode([]byte(in.Offers[i].Manifest)); err != nil {
			return l, fmt.Errorf("node %d: %w", server, err)
		}
		l.Offers = append(l.Offers, o)
	}
	return l, nil
}

// askData fetches bytes of a snapshot from another node into b: all of b, or an error.
func (n *Node) askData(ctx context.Context, server wire.NodeID, r SnapshotRange, b []byte) (int, error) {
	path := fmt.Sprintf("%s/%d/data", pathSnapshots, r.At)
	span := fmt.Sprintf("bytes=%d-%d", r.Offset, r.Offset+int64(len(b))-1)
	query := url.Values{}
	if r.Install {
		query.Set("install", "1")
	}
	body, err := n.ask(ctx, server, path, query, span, http.StatusPartialContent)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	return io.ReadFull(body, b)
}

// ask sends a request to another node's control plane. The caller closes the body.
func (n *Node) ask(ctx context.Context, server wire.NodeID, path string, query url.Values, span string,
	want int) (io.ReadCloser, error) {
	query.Set("node", strconv.Itoa(n.config.Node))
	target := "http://" + n.controlOf(server) + path + "?" + query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	if span != "" {
		request.Header.Set("Range", span)
	}
	response, err := n.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != want {
		defer response.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(response.Body, 200))
		return nil, fmt.Errorf("%s answers %s: %s", target, response.Status, text)
	}
	return response.Body, nil
}
