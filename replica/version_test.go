package replica

import (
	"errors"
	"testing"

	"lockstep/wire"
)

// ofVersion is a report of a build that has so many versions.
func ofVersion(n wire.NodeID, version uint32, at wire.Position) Input {
	in := statusOf(n, 1, at, at)
	in.Status.Version = version
	return in
}

// versionLeader is a leader whose build has version 3, with all committed.
func versionLeader(t *testing.T) *probe {
	p := newProbe(t, wire.RuleReplicated, Restored{})
	p.c.o.Version = 3
	p.lead()
	p.step(ofVersion(2, 1, firstConfig))
	p.step(ofVersion(3, 1, firstConfig))
	p.want(p.c.Commit() == firstConfig, "commit %d", p.c.Commit())
	return p
}

func TestRule15VersionNeedsEveryVoter(t *testing.T) {
	p := versionLeader(t)
	p.step(ofVersion(2, 3, firstConfig))
	p.want(p.find(OutAppendConfig) == nil, "raised although node 3 has version 1")
	p.step(ofVersion(3, 2, firstConfig))
	out := p.find(OutAppendConfig)
	p.want(out != nil && out.Config.Version == 2 && !out.Config.ByOperator && out.Config.Digest() == p.c.digest, "%+v", out)
	config := out.Config
	p.step(ofVersion(3, 2, firstConfig))
	p.want(p.find(OutAppendConfig) == nil, "raised twice")
	p.step(Input{Kind: InConfig, Position: 376, Config: config})
	p.append(376)
	p.step(ofVersion(3, 3, firstConfig))
	p.want(p.find(OutAppendConfig) == nil, "raised again before the record before is committed")
	p.step(ofVersion(2, 3, 376))
	p.want(p.find(OutAppendConfig) != nil && p.find(OutAppendConfig).Config.Version == 3, "not raised to what all have")
}

func TestRule15VersionIsNotOfAnEarlierRun(t *testing.T) {
	p := versionLeader(t)
	p.step(ofVersion(2, 3, firstConfig))
	again := other(2)
	again.Run = 2
	p.step(Input{Kind: InAlign, From: again, Term: 1, Align: wire.Align{Nonce: 9, LastPage: true}})
	p.step(ofVersion(3, 3, firstConfig))
	p.want(p.find(OutAppendConfig) == nil, "raised by what an earlier run of node 2 had")
}

func TestRule15StatusSaysWhatTheBuildHas(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{})
	p.c.o.Version = 4
	p.follow()
	p.want(p.sent(wire.DatagramStatus) != nil && p.sent(wire.DatagramStatus).Status.Version == 4, "no version")
}

func TestRule15OldBuildsAreRefused(t *testing.T) {
	o := testOptions(wire.RuleDurable)
	config := o.Config()
	if config.Version != FirstVersion {
		t.Fatalf("a log begins with version %d", config.Version)
	}
	config.Version = 2
	r := Restored{Config: config, ConfigPosition: firstConfig}
	if err := o.CheckConfig(&r); !errors.Is(err, ErrVersion) {
		t.Errorf("a build that has version 1 takes a log at version 2: %v", err)
	}
	if o.Version = 2; o.CheckConfig(&r) != nil {
		t.Errorf("a build that has it is refused: %v", o.CheckConfig(&r))
	}
}

// A single voter has nobody to wait for.
func TestRule15SingleVoterRaisesAlone(t *testing.T) {
	for _, rule := range []wire.CommitRule{wire.RuleDurable, wire.RuleReplicated} {
		o := testOptions(rule)
		o.Voters, o.Version = o.Voters[:1], 2
		p := &probe{t: t, c: NewCore(o, Restored{Incarnation: 1000, Run: 1}, 0)}
		p.step(Input{Kind: InTick})
		p.persisted()
		p.step(Input{Kind: InTermStart, LastTerm: 1})
		p.append(firstTerm)
		config := p.find(OutAppendConfig).Config
		p.step(Input{Kind: InConfig, Position: firstTerm + 112, Config: config})
		p.append(firstTerm + 112)
		if rule == wire.RuleDurable {
			p.durable(firstTerm + 112)
		}
		out := p.find(OutAppendConfig)
		p.want(out != nil && out.Config.Version == 2, "%v: %+v", rule, out)
	}
}
