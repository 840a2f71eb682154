package sequencer

import (
	"lockstep/internal/counters"
	"lockstep/wire"
)

// meters are the sequencer's counters, visible from outside in the node's counters file.
type meters struct {
	messages, repeats, gaps, acks      *counters.Counter
	sessions, opened, resumed, expired *counters.Counter
	challenges, unanswered             *counters.Counter
	replays, replaysHeld               *counters.Counter
	datagrams, acksLost, sendFull      *counters.Counter
	fragments, assembled               *counters.Counter
	stale, clamps, timers              *counters.Counter
	refused                            [wire.NumRefusals]*counters.Counter
	dropped                            [wire.NumDrops]*counters.Counter
}

// numMeters is how many counters a sequencer has at most.
const numMeters = 26 + wire.NumRefusals + wire.NumDrops + wire.NumStages*counters.HistogramSlots

func newMeters(f *counters.File) meters {
	m := meters{
		messages: f.Counter("lockstep_sequencer_messages_total", "Client messages sequenced"),
		repeats:  f.Counter("lockstep_sequencer_repeats_total", "Client messages that had been sequenced before"),
		gaps:     f.Counter("lockstep_sequencer_gaps_total", "Gaps that clients were asked to fill"),
		acks: f.Counter("lockstep_sequencer_acks_records_total",
			"Records that carry what a silent client acknowledged"),
		sessions:   f.Counter("lockstep_sequencer_sessions", "Sessions in the leader's table"),
		opened:     f.Counter("lockstep_sequencer_sessions_opened_total", "Sessions opened"),
		resumed:    f.Counter("lockstep_sequencer_sessions_resumed_total", "Sessions resumed from a proven address"),
		expired:    f.Counter("lockstep_sequencer_sessions_expired_total", "Sessions closed after too long a silence"),
		challenges: f.Counter("lockstep_sequencer_challenges_total", "Challenges sent"),
		unanswered: f.Counter("lockstep_sequencer_connects_unanswered_total",
			"CONNECT and PROVE beyond the rate at which clients are admitted or told to come later"),
		replays: f.Counter("lockstep_sequencer_replays_total", "Replays of kept responses asked of the service driver"),
		replaysHeld: f.Counter("lockstep_sequencer_replays_held_total",
			"Replays not asked for because the last one was too recent"),
		datagrams: f.Counter("lockstep_sequencer_answers_total", "Datagrams with answers sent"),
		acksLost:  f.Counter("lockstep_sequencer_answers_lost_total", "Answers dropped because the transmit side was full"),
		sendFull:  f.Counter("lockstep_sequencer_send_full_total", "Times that the transmit side had no room for answers"),
		fragments: f.Counter("lockstep_sequencer_fragments_total", "Fragments of client messages taken"),
		assembled: f.Counter("lockstep_sequencer_assembled_total", "Client messages put together from fragments"),
		timers:    f.Counter("lockstep_sequencer_timers_total", "Timer records appended"),
		stale:     f.Counter("lockstep_sequencer_egress_stale_total", "Egress messages of an earlier leadership, dropped"),
		clamps: f.Counter("lockstep_sequencer_stamp_clamps_total",
			"Stamps taken past the log's last one instead of the clock"),
	}
	for r := wire.RefusalNone + 1; r < wire.NumRefusals; r++ {
		m.refused[r] = f.Counter(`lockstep_sequencer_refused_total{reason="`+r.Name()+`"}`, "Refusals to clients, by reason")
	}
	for _, d := range []wire.Drop{wire.DropBody, wire.DropSession, wire.DropAddress, wire.DropRole} {
		m.dropped[d] = f.Counter(`lockstep_client_datagrams_dropped_total{reason="`+d.String()+`"}`,
			"Client datagrams dropped by the leader, by reason")
	}
	return m
}

// refuse counts a refusal.
func (m *meters) refuse(code wire.Refusal) {
	if code != wire.RefusalNone && int(code) < len(m.refused) {
		m.refused[code].Inc()
	}
}
