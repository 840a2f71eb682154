package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// hashicorp is a member that is made of hashicorp/raft.
type hashicorp struct {
	raft *raft.Raft
	ids  map[raft.ServerID]int
}

// store is what it keeps its log, and its vote, in.
type store interface {
	raft.LogStore
	raft.StableStore
}

func hashicorpSync(fsync bool) (fsyncs, sync string) { return "every batch", "raft-wal: write+fsync" }

func hashicorpMemorySync(bool) (fsyncs, sync string) { return "none", "raft.InmemStore" }

// hashicorpNode runs one with raft-wal.
func hashicorpNode(ctx context.Context, o *nodeOptions) error {
	log, err := wal.Open(o.dir)
	if err != nil {
		return err
	}
	defer log.Close()
	return hashicorpMember(ctx, o, log)
}

// hashicorpMemoryNode runs one that keeps its log nowhere but in memory.
func hashicorpMemoryNode(ctx context.Context, o *nodeOptions) error {
	if o.fsync {
		return fmt.Errorf("%w: --fsync: the log in memory has nothing to sync", errUsage)
	}
	return hashicorpMember(ctx, o, raft.NewInmemStore())
}

func hashicorpMember(ctx context.Context, o *nodeOptions, log store) error {
	logger := hclog.New(&hclog.LoggerOptions{Output: os.Stderr, Level: hclog.Warn})
	config := raft.DefaultConfig()
	config.LocalID = raft.ServerID(o.self().peers())
	config.BatchApplyCh = true
	config.MaxAppendEntries = 512
	config.Logger = logger
	addr, err := net.ResolveTCPAddr("tcp", o.self().peers())
	if err != nil {
		return err
	}
	network, err := raft.NewTCPTransportWithLogger(o.self().peers(), addr, len(o.members), 10*time.Second, logger)
	if err != nil {
		return err
	}
	s := &server{}
	h := &hashicorp{ids: map[raft.ServerID]int{}}
	snapshots := raft.NewDiscardSnapshotStore()
	if h.raft, err = raft.NewRaft(config, hashicorpMachine{&s.applied}, log, log, snapshots, network); err != nil {
		return err
	}
	var all raft.Configuration
	for i, m := range o.members {
		id := raft.ServerID(m.peers())
		h.ids[id] = i + 1
		all.Servers = append(all.Servers, raft.Server{ID: id, Address: raft.ServerAddress(m.peers())})
	}
	if err := h.raft.BootstrapCluster(all).Error(); err != nil {
		return err
	}
	s.library = h
	err = s.serve(ctx, o.self().clients())
	if down := h.raft.Shutdown().Error(); err == nil {
		err = down
	}
	return err
}

func (h *hashicorp) leader() int {
	_, id := h.raft.LeaderWithID()
	return h.ids[id]
}

func (h *hashicorp) propose(message []byte) (pending, error) {
	f := h.raft.Apply(message, 0)
	return func() (uint64, error) {
		if err := f.Error(); err != nil {
			return 0, err
		}
		return f.Index(), nil
	}, nil
}

// hashicorpMachine counts.
type hashicorpMachine struct{ applied *atomic.Uint64 }

// Apply implements raft.FSM.
func (m hashicorpMachine) Apply(*raft.Log) any {
	m.applied.Add(1)
	return nil
}

// Snapshot implements raft.FSM.
func (m hashicorpMachine) Snapshot() (raft.FSMSnapshot, error) { return nothing{}, nil }

// Restore implements raft.FSM.
func (m hashicorpMachine) Restore(r io.ReadCloser) error { return r.Close() }

// nothing is a snapshot of what has no state.
type nothing struct{}

// Persist implements raft.FSMSnapshot.
func (nothing) Persist(sink raft.SnapshotSink) error { return sink.Close() }

// Release implements raft.FSMSnapshot.
func (nothing) Release() {}
