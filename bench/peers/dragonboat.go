package main

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/client"
	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/logger"
	"github.com/lni/dragonboat/v4/plugin/tan"
	"github.com/lni/dragonboat/v4/statemachine"
)

// dragonboatMember is a member that is made of dragonboat.
type dragonboatMember struct {
	host    *dragonboat.NodeHost
	session *client.Session
}

// shard is the only one.
const shard = 1

// proposalLimit bounds how long a proposal may take.
const proposalLimit = 10 * time.Second

func dragonboatSync(fsync bool) (fsyncs, sync string) { return "every batch", "tan: write+fsync" }

func dragonboatNode(ctx context.Context, o *nodeOptions) error {
	for _, name := range []string{"raft", "rsm", "transport", "dragonboat", "logdb", "grpc", "config", "raftpb", "tan", "settings"} {
		logger.GetLogger(name).SetLevel(logger.ERROR)
	}
	hostConfig := config.NodeHostConfig{
		WALDir: o.dir, NodeHostDir: o.dir, RTTMillisecond: 20, RaftAddress: o.self().peers(),
		Expert: config.ExpertConfig{LogDBFactory: tan.Factory, Engine: config.GetDefaultEngineConfig()},
	}
	host, err := dragonboat.NewNodeHost(hostConfig)
	if err != nil {
		return err
	}
	defer host.Close()
	all := map[uint64]dragonboat.Target{}
	for i, m := range o.members {
		all[uint64(i+1)] = m.peers()
	}
	s := &server{}
	create := func(uint64, uint64) statemachine.IStateMachine { return &dragonboatMachine{applied: &s.applied} }
	replica := config.Config{
		ReplicaID: uint64(o.id), ShardID: shard, CheckQuorum: true, PreVote: true, ElectionRTT: 50, HeartbeatRTT: 5,
		SnapshotEntries: 0,
	}
	if err := host.StartReplica(all, false, create, replica); err != nil {
		return err
	}
	s.library = &dragonboatMember{host, host.GetNoOPSession(shard)}
	return s.serve(ctx, o.self().clients())
}

func (d *dragonboatMember) leader() int {
	id, _, known, err := d.host.GetLeaderID(shard)
	if err != nil || !known {
		return 0
	}
	return int(id)
}

func (d *dragonboatMember) propose(message []byte) (pending, error) {
	state, err := d.host.Propose(d.session, message, proposalLimit)
	if err != nil {
		return nil, err
	}
	return func() (uint64, error) {
		result := <-state.AppliedC()
		defer state.Release()
		if !result.Completed() {
			return 0, fmt.Errorf("dragonboat: the proposal was not completed: timed out %t, dropped %t, rejected %t",
				result.Timeout(), result.Dropped(), result.Rejected())
		}
		return result.GetResult().Value, nil
	}, nil
}

// dragonboatMachine counts, and says where each entry is.
type dragonboatMachine struct{ applied *atomic.Uint64 }

// Update implements statemachine.IStateMachine.
func (m *dragonboatMachine) Update(e statemachine.Entry) (statemachine.Result, error) {
	m.applied.Add(1)
	return statemachine.Result{Value: e.Index}, nil
}

// Lookup implements statemachine.IStateMachine.
func (m *dragonboatMachine) Lookup(any) (any, error) { return m.applied.Load(), nil }

// SaveSnapshot implements statemachine.IStateMachine.
func (m *dragonboatMachine) SaveSnapshot(io.Writer, statemachine.ISnapshotFileCollection, <-chan struct{}) error {
	return nil
}

// RecoverFromSnapshot implements statemachine.IStateMachine.
func (m *dragonboatMachine) RecoverFromSnapshot(io.Reader, []statemachine.SnapshotFile, <-chan struct{}) error {
	return nil
}

// Close implements statemachine.IStateMachine.
func (m *dragonboatMachine) Close() error { return nil }
