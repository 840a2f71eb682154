package replica

import (
	"fmt"

	"lockstep/internal/counters"
	"lockstep/wire"
)

// metrics are the agent's counters. Gauges are set about once a millisecond, never per message.
type metrics struct {
	role, term, leader, appendAt, commit, applied, recovering, aligned     *counters.Counter
	lastTerm, lastChecksum                                                 *counters.Counter
	roleChanges, cuts, retransmitted, caughtUp, ringFull, diskFull         *counters.Counter
	leaderSince, diskHung, diskHangs, clockOffset, clockSkewed, clockSkews *counters.Counter
	snapshotAt, snapshotVerified, snapshotDisputed                         *counters.Counter
	snapshotDisputes, snapshotsAsked                                       *counters.Counter
	diverged, disputed, spoilt                                             *counters.Counter
	followers                                                              []followerMetrics
	drops                                                                  [wire.NumDrops]*counters.Counter
}

// followerMetrics are what a leader heard of another node.
type followerMetrics struct {
	node                      wire.NodeID
	appendAt, durable, counts *counters.Counter
}

func (m *metrics) init(f *counters.File, self wire.NodeID, nodes []wire.NodeID) {
	gauge := func(name, help string) *counters.Counter { return f.Counter("lockstep_"+name, help) }
	m.role = gauge("role", "role of this node: 0 follower, 1 canvassing, 2 candidate, 3 leader")
	m.term = gauge("term", "current term")
	m.leader = gauge("leader", "node id of the leader, 0 when none is known")
	m.appendAt = gauge("append_position", "end of this node's log in memory, bytes")
	m.lastTerm = gauge("last_term", "term of the last record of this node's log")
	m.lastChecksum = gauge("last_checksum", "checksum of the last record: the log up to there in one number")
	m.commit = gauge("commit_position", "end of what is committed and held here, bytes")
	m.applied = gauge("applied_position", "end of what the service has consumed, bytes")
	m.recovering = gauge("recovering", "1 while this node may have forgotten, and neither votes nor counts")
	m.aligned = gauge("aligned", "1 while this node's log is known to be a prefix of the leader's")
	m.roleChanges = gauge("role_changes_total", "changes of role, term or leader")
	m.cuts = gauge("cuts_total", "uncommitted tails cut after alignment")
	m.retransmitted = gauge("retransmitted_bytes_total", "bytes sent again for a NAK")
	m.caughtUp = gauge("caught_up_bytes_total", "bytes fetched from another node's disk")
	m.spoilt = gauge("caught_up_spoilt_total", "times that what another node's disk gave was not the log: dropped")
	m.ringFull = gauge("ring_full_total", "LOG datagrams dropped because the ring had no room")
	m.diverged = gauge("diverged_told_total", "followers told that a majority has another hash of the services' outputs")
	m.disputed = gauge("disputed", "1 while nodes differ about the services' outputs and no majority agrees")
	m.snapshotAt = gauge("snapshot_record_position", "end of the newest snapshot record that asks for one, as applied here")
	m.snapshotVerified = gauge("snapshot_verified_position", "newest snapshot that a majority has verified, as the log "+
		"applied here says")
	m.snapshotDisputed = gauge("snapshot_disputed", "1 while nodes differ about the state at a snapshot record and no "+
		"majority agrees")
	m.snapshotDisputes = gauge("snapshot_disputes_total", "times that they did, at another record each")
	m.snapshotsAsked = gauge("snapshots_asked_total", "snapshot records by which this leader asked for one")
	m.diskFull = gauge("disk_full", "1 while there is no space for the next segment")
	m.leaderSince = gauge("leader_since_ms", "when this node learned of the leader it knows, ms since the Unix epoch; 0: none")
	m.diskHung = gauge("disk_hung", "1 while the disk does not get on with what it is to sync")
	m.diskHangs = gauge("disk_hangs_total", "times that the disk hung for longer than journal.hung_ms")
	m.clockOffset = gauge("clock_offset_us", "how far this node's wall clock is from the cluster's, either way, microseconds")
	m.clockSkewed = gauge("clock_skewed", "1 while that is further than election.clock_skew_ms")
	m.clockSkews = gauge("clock_skews_total", "times that it went further")
	for _, n := range nodes {
		if n == self {
			continue
		}
		label := fmt.Sprintf(`{node="%d"}`, n)
		m.followers = append(m.followers, followerMetrics{n,
			gauge("follower_append_position"+label, "end of another node's log, as this leader heard it; 0 elsewhere"),
			gauge("follower_durable_position"+label, "end of what another node has synced, as this leader heard it"),
			gauge("follower_counts"+label, "1 if another node counts towards a majority of this leader")})
	}
	for d := range m.drops {
		m.drops[d] = f.Counter(`lockstep_datagrams_dropped_total{reason="`+wire.Drop(d).String()+`"}`,
			"datagrams dropped by reason")
	}
}

func (m *metrics) dropped(d wire.Drop) { m.drops[d].Inc() }

// lead sets what says who leads, at once: before anything that follows from it (a cut) can have happened, nobody may
// take this node for the leader it was.
func (m *metrics) lead(out *Output, wallNs int64) {
	if out.Leader == 0 {
		m.leaderSince.Set(0)
	} else if uint64(out.Leader) != m.leader.Load() || uint64(out.Term) != m.term.Load() {
		m.leaderSince.Set(uint64(wallNs / 1e6))
	}
	m.role.Set(uint64(out.Role))
	m.term.Set(uint64(out.Term))
	m.leader.Set(uint64(out.Leader))
}

// publish sets the gauges.
func (m *metrics) publish(a *Agent) {
	m.role.Set(uint64(a.core.Role()))
	m.term.Set(uint64(a.core.Term()))
	m.leader.Set(uint64(a.core.Leader()))
	m.appendAt.Set(uint64(a.core.Append()))
	m.lastTerm.Set(uint64(a.chain.Term))
	m.lastChecksum.Set(uint64(a.chain.Checksum))
	m.commit.Set(uint64(a.core.Commit()))
	m.applied.Set(uint64(a.applied.Position))
	m.recovering.Set(gauge01(a.core.Recovering()))
	m.aligned.Set(gauge01(a.core.Aligned()))
	m.snapshotAt.Set(uint64(a.applied.SnapshotPosition))
	m.snapshotVerified.Set(uint64(a.core.Verified()))
	m.snapshotDisputed.Set(gauge01(a.core.SnapshotDisputed() != 0))
	for i := range m.followers {
		f := &m.followers[i]
		appendAt, durable, counts := a.core.Follower(f.node)
		f.appendAt.Set(uint64(appendAt))
		f.durable.Set(uint64(durable))
		f.counts.Set(gauge01(counts))
	}
}
