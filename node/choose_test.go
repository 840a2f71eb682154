package node

import (
	"testing"

	"lockstep/journal/snapshot"
	"lockstep/wire"
)

// offered makes an offer of a snapshot at a position.
func offered(at wire.Position, verified bool) Offer {
	return Offer{Manifest: snapshot.Manifest{Chain: wire.Chain{Position: at}, Digest: uint64(at), Bytes: 10}, Verified: verified}
}

// TestWhichSnapshotIsInstalled: the newest that is verified, beyond the end of the log, and none while somebody has the log.
func TestWhichSnapshotIsInstalled(t *testing.T) {
	lists := func(lists ...Listing) (answers []answer) {
		for i, l := range lists {
			answers = append(answers, answer{wire.NodeID(i + 1), l})
		}
		return answers
	}
	two := []Offer{offered(300, true), offered(400, true)}
	for name, c := range map[string]struct {
		answers []answer
		waited  int64 // since when the log is lacking
		server  wire.NodeID
		at      wire.Position // 0: none is to be installed
	}{
		"nobody answers":              {},
		"nobody has one":              {answers: lists(Listing{Floor: 200, Commit: 900})},
		"the newest":                  {answers: lists(Listing{200, 900, two[:1]}, Listing{200, 900, two}), server: 2, at: 400},
		"the first that offers it":    {answers: lists(Listing{200, 900, two}, Listing{200, 900, two}), server: 1, at: 400},
		"none that is not verified":   {answers: lists(Listing{200, 900, []Offer{two[0], offered(500, false)}}), server: 1, at: 300},
		"only what is not verified":   {answers: lists(Listing{200, 900, []Offer{offered(500, false)}})},
		"one has the log":             {answers: lists(Listing{200, 900, two}, Listing{100, 900, nil})},
		"one has too little log":      {answers: lists(Listing{200, 900, two}, Listing{0, 100, nil}), server: 1, at: 400},
		"one has it and gives none":   {answers: lists(Listing{200, 900, two}, Listing{0, 900, nil}), waited: patienceNs, server: 1, at: 400},
		"not beyond the end here":     {answers: lists(Listing{200, 900, []Offer{offered(120, true)}})},
		"one behind, one newer":       {answers: lists(Listing{200, 900, []Offer{offered(120, true), offered(300, true)}}), server: 1, at: 300},
		"a newer one is not verified": {answers: lists(Listing{200, 900, []Offer{offered(400, false)}}, Listing{200, 900, two[:1]}), server: 2, at: 300},
	} {
		b := behind{is: true, from: 110, atNs: c.waited}
		got, ok, why := chooseInstall(c.answers, &b, 130, c.waited)
		if ok != (c.at != 0) || got.m.Position() != c.at || got.server != c.server || ok == (why != "") {
			t.Errorf("%s: %d of node %d (%v, %q), want %d of node %d", name, got.m.Position(), got.server, ok, why, c.at, c.server)
		}
	}
}

func TestWhichSnapshotIsFetchedInTheBackground(t *testing.T) {
	answers := []answer{{1, Listing{0, 900, []Offer{offered(300, true), offered(500, true), offered(700, true)}}},
		{2, Listing{0, 900, []Offer{offered(400, false), offered(500, true)}}}}
	for _, c := range []struct{ held, until, want wire.Position }{
		{0, 900, 700}, {700, 900, 0}, {0, 699, 500}, {500, 600, 0}, {0, 299, 0}, {300, 450, 0}, {0, 450, 300},
	} {
		got, ok := chooseNewer(answers, c.held, c.until)
		if got.m.Position() != c.want || ok != (c.want != 0) {
			t.Errorf("held %d, log up to %d: %d, want %d", c.held, c.until, got.m.Position(), c.want)
		}
	}
	from, _ := chooseNewer(answers, 0, 600)
	if server, ok := sameElsewhere(answers, &from); !ok || server != 2 {
		t.Errorf("the same snapshot elsewhere: %d, %v", server, ok)
	}
	answers[1].Offers[1].Manifest.SHA256[0]++
	if server, ok := sameElsewhere(answers, &from); ok {
		t.Errorf("another snapshot is taken for the same, of node %d", server)
	}
}

// TestARefusalCountsForAWhile: who has got log since, or has not asked for long, is not behind.
func TestARefusalCountsForAWhile(t *testing.T) {
	var b behind
	if b.lately(0) {
		t.Error("behind before anybody refused")
	}
	b.refused(100, 1000)
	b.refused(100, behindNs)
	if !b.lately(behindNs+1000) || b.sinceNs != 1000 {
		t.Errorf("%+v: not behind since the first refusal", b)
	}
	b.refused(200, behindNs+2000)
	if b.sinceNs != behindNs+2000 {
		t.Errorf("%+v: log has come in between", b)
	}
	if b.lately(2*behindNs + 2000) {
		t.Errorf("%+v: behind for ever", b)
	}
}

func TestOffersThatAreSpoiltAreAskedForElsewhere(t *testing.T) {
	offer := func(server wire.NodeID, at wire.Position) answer {
		o := Offer{Verified: true}
		o.Manifest.Chain.Position = at
		return answer{server, Listing{Offers: []Offer{o}}}
	}
	var spoilt [wire.MaxNodes + 1]wire.Position
	for _, want := range []wire.NodeID{1, 2, 3, 1} { // round and round, until one is right
		answers := []answer{offer(1, 500), offer(2, 500), offer(3, 500)}
		believe(answers, &spoilt)
		c, ok := chooseNewer(answers, 0, 600)
		if !ok || c.server != want {
			t.Fatalf("node %d is asked (%v), want %d; spoilt %v", c.server, ok, want, spoilt)
		}
		spoilt[c.server] = 500
	}
	answers := []answer{offer(1, 500)}
	if believe(answers, &spoilt); len(answers[0].Offers) != 1 {
		t.Error("the only node that has it is not asked again")
	}
	spoilt[1] = 500
	answers = []answer{offer(1, 500), offer(2, 400)}
	believe(answers, &spoilt)
	if c, ok := chooseNewer(answers, 0, 600); !ok || c.server != 2 {
		t.Errorf("node %d is asked (%v): an older snapshot that may be whole is worth more than a newer one that is not", c.server, ok)
	}
}
