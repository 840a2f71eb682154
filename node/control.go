package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"lockstep/internal/simbug"
	"lockstep/replica"
	"lockstep/wire"
)

// Paths and headers of the control plane.
const (
	pathStatus  = "/status"
	pathMetrics = "/metrics"
	pathLog     = "/log"

	pathSessions = "/sessions"

	headerCommit = "Lockstep-Commit" // the server's commit position
	headerTerm   = "Lockstep-Term"   // its term
)

// catchUpBytes bounds one answer of /log: a follower asks again for what follows.
const catchUpBytes = 1 << 20

// startControl opens the control plane's listener and serves it until close.
func (n *Node) startControl() error {
	listener, err := net.Listen("tcp", n.config.Self().Control)
	if err != nil {
		return fmt.Errorf("%w: control plane: %w: is another node running, or the address not this host's? "+
			"(cluster.nodes, control)", ErrConfig, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathStatus, n.serveStatus)
	mux.HandleFunc("GET "+pathLog, n.serveLog)
	mux.HandleFunc("GET "+pathSessions, n.serveSessions)
	mux.HandleFunc("GET "+pathSessions+"/{id}", n.serveSession)
	mux.HandleFunc("GET "+pathSnapshots, n.serveSnapshots)
	mux.HandleFunc("GET "+pathSnapshots+"/{position}/data", n.serveSnapshotData)
	mux.HandleFunc("POST "+TransferPath, n.serveTransfer)
	mux.HandleFunc("POST "+SkipPath, n.serveSkip)
	mux.HandleFunc("POST "+SnapshotPath, n.serveSnapshot)
	mux.HandleFunc("POST "+pathRecover, n.serveRecover)
	registry := prometheus.NewRegistry()
	registry.MustRegister(counterCollector{n.counters}, collectors.NewGoCollector())
	mux.Handle("GET "+pathMetrics, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	n.http = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	go func() {
		if err := n.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			n.logf("control plane: %v", err)
		}
	}()
	return nil
}

func (n *Node) serveStatus(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(n.Status())
}

// serveLog answers a follower that catches up.
func (n *Node) serveLog(w http.ResponseWriter, r *http.Request) {
	from, err1 := strconv.ParseUint(r.FormValue("from"), 10, 64)
	until, err2 := strconv.ParseUint(r.FormValue("until"), 10, 64)
	synced := r.FormValue("synced") != "" // for a node that mends its log and checks what it gets from both ends
	term, err3 := strconv.ParseUint(r.FormValue("term"), 10, 32)
	if synced {
		err3 = nil
	}
	if err := errors.Join(err1, err2, err3); err != nil || until < from {
		http.Error(w, "want from and until, positions in the log, and the follower's term or synced=1", http.StatusBadRequest)
		return
	}
	if cluster := r.FormValue("cluster"); cluster != ClusterString(n.identity.Cluster) {
		http.Error(w, fmt.Sprintf("this node is of cluster %s", ClusterString(n.identity.Cluster)), http.StatusConflict)
		return
	}
	w.Header().Set(headerCommit, strconv.FormatUint(uint64(n.progress.Commit()), 10))
	w.Header().Set(headerTerm, strconv.FormatUint(n.gauge("lockstep_term"), 10))
	serve := func() ([]byte, error) {
		return n.LogFor(reader(r), wire.Term(term), wire.Position(from), wire.Position(until))
	}
	if synced {
		serve = func() ([]byte, error) { return n.SyncedLog(reader(r), wire.Position(from), wire.Position(until)) }
	}
	body, err := serve()
	below := (*BelowFloorError)(nil)
	switch {
	case errors.As(err, &below):
		w.Header().Set(headerFloor, strconv.FormatUint(uint64(below.Floor), 10))
		http.Error(w, err.Error(), http.StatusGone)
	case errors.Is(err, ErrLeadsNoLonger):
		http.Error(w, err.Error(), http.StatusConflict)
	case err != nil:
		n.logf("serving [%d, %d) to %s: %v", from, until, r.RemoteAddr, err)
		http.Error(w, "the journal cannot be read there", http.StatusServiceUnavailable)
	default:
		_, _ = w.Write(body) // a follower that went away asks again
	}
}

// ErrLeadsNoLonger says that what was read may have been cut meanwhile.
var ErrLeadsNoLonger = errors.New("this node leads no longer")

// LogFor returns log bytes from a position on, from disk, for a follower of term: as many as are synced here and fit one
// answer, none if there is none yet; BelowFloorError where the log that is kept does not go back so far. What is committed
// anybody may serve: it is the cluster's for good. Beyond that only the leader of the follower's own term may: its log is
// what that follower is to have. What follows stays for a while. Any thread.
func (n *Node) LogFor(follower wire.NodeID, term wire.Term, from, until wire.Position) ([]byte, error) {
	limit := n.progress.Commit()
	leads := func() bool {
		return n.gauge("lockstep_role") == uint64(replica.Leader) && n.gauge("lockstep_term") == uint64(term)
	}
	beyond := leads()
	if beyond || simbug.On(simbug.ServeUncommitted) {
		limit = wire.Position(n.ring.Append())
	}
	end := min(until, limit, wire.Position(n.durable.Load()), from+catchUpBytes)
	body, err := n.readLogFor(follower, from, end)
	if err == nil && beyond && !leads() {
		err = ErrLeadsNoLonger
	}
	return body, err
}

// readLogFor reads from disk for another node.
func (n *Node) readLogFor(reader wire.NodeID, from, until wire.Position) ([]byte, error) {
	if floor := n.keeper.logFloor(); from < floor { // who asks for what is gone holds nothing up
		return nil, &BelowFloorError{floor}
	}
	n.pins.readsLog(reader, from, n.machine.Clock.NowNs())
	if until <= from {
		return nil, nil
	}
	body, err := n.readLog(from, until)
	if floor := n.keeper.logFloor(); err != nil && from < floor {
		err = &BelowFloorError{floor} // it was dropped meanwhile
	}
	return body, err
}

// readLog reads from disk, past the threads that write.
func (n *Node) readLog(from, until wire.Position) ([]byte, error) {
	reader, err := n.Reader()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	reader.SetLimit(until)
	body := make([]byte, until-from)
	for got := 0; got < len(body); {
		n, err := reader.ReadRange(from+wire.Position(got), body[got:])
		if err != nil {
			return nil, err
		}
		got += n
	}
	return body, nil
}

// ClusterString prints a cluster id as people see it.
func ClusterString(id uint64) string { return fmt.Sprintf("%016x", id) }

// ParseCluster reads what ClusterString prints.
func ParseCluster(s string) (uint64, error) {
	id, err := strconv.ParseUint(s, 16, 64)
	if err != nil || id == 0 {
		return 0, fmt.Errorf("%w: cluster id %q: want up to 16 hexadecimal digits, as lockstep format prints them",
			ErrConfig, s)
	}
	return id, nil
}
