package service_test

import (
	"path/filepath"
	"testing"

	"lockstep/internal/counters"
	"lockstep/service"
	"lockstep/wire"
)

// Everything that the driver counts can be made to happen, and is then seen from outside.
func TestEveryCounterCounts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counters")
	file, err := counters.Create(path, 64)
	if err != nil {
		t.Fatal(err)
	}
	source := &memorySource{}
	r := newRig(t, rigOptions{
		ringBytes: 128 << 10, egressBytes: 256 << 10, counters: file, source: source,
		limits: service.Limits{Sessions: 3, KeptResponses: 4},
	})
	source.log = &r.log
	for range 200 {
		r.append(wire.Record{Kind: wire.RecordTerm}, make([]byte, 1000)) // more than the ring holds
	}
	r.do()
	r.lead()
	for id := range wire.SessionID(4) {
		r.open(id + 1)
	}
	r.message(1, 1, service.Echo, make([]byte, 65500))
	r.message(1, 1, service.Echo, nil)
	r.message(9, 1, service.Echo, nil)
	r.append(wire.Record{Kind: wire.RecordAcks, Session: 1, Acked: 7}, nil)
	r.do() // nobody reads the egress ring, which has no room for four of these
	for n := range uint64(2) {
		r.message(2, n+1, scriptedID, respond(1, 65500, 65500))
		r.do()
	}
	r.received()
	r.append(wire.Record{Kind: wire.RecordTimer}, nil) // names none
	r.append(wire.Record{Kind: wire.RecordSnapshot}, nil)
	r.do()
	r.received()
	r.do()

	view, err := counters.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	want := map[string]uint64{
		"lockstep_applied_messages_total":                       3,
		"lockstep_responses_total":                              4,
		`lockstep_messages_ignored_total{reason="correlation"}`: 1,
		`lockstep_messages_ignored_total{reason="session"}`:     1,
		"lockstep_responses_lost_total":                         1,
		"lockstep_acks_ignored_total":                           1,
		"lockstep_sessions":                                     2,
		"lockstep_sessions_refused_total":                       1,
		"lockstep_sessions_slow_total":                          1,
		"lockstep_apply_halted":                                 1,
		"lockstep_timers_ignored_total":                         1,
		"lockstep_apply_position":                               uint64(r.progress.Applied()),
		"lockstep_applied_records_total":                        r.chain.Sequence,
	}
	some := map[string]bool{"lockstep_egress_full_total": true, "lockstep_apply_journal_reads_total": true}
	view.Each(func(name, _ string, value uint64) {
		if w, ok := want[name]; ok && value != w {
			t.Errorf("%s is %d, want %d", name, value, w)
		}
		if some[name] && value == 0 {
			t.Errorf("%s is 0", name)
		}
		delete(want, name)
		delete(some, name)
	})
	if len(want)+len(some) > 0 {
		t.Errorf("not there: %v %v", want, some)
	}
}
