package journaltest

import (
	"errors"
	"path"
	"testing"

	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/wire"
)

// Epoch is just before the first record's stamp, ns since the Unix epoch; Tick lies between a record and the next.
const (
	Epoch = 1_700_000_000_000_000_000
	Tick  = 1_000_000
)

// Log is a log that is being made up.
type Log struct {
	Dir   string
	Chain wire.Chain
	Ends  []wire.Position // of the first records, as many as fit maxEnds
	// Limits are what Config says that limits what services put out; zero: the defaults.
	Limits wire.ConfigLimits

	t       testing.TB
	fs      vfs.FS
	id      journal.Identity
	builder *journal.Builder
	term    wire.Term
	buf     []byte
}

const maxEnds = 100_000

// New begins a log in a new directory.
func New(t testing.TB, fs vfs.FS, dir string, id journal.Identity, segment int64) *Log {
	t.Helper()
	l := &Log{Dir: dir, t: t, fs: fs, id: id, term: 1, buf: make([]byte, wire.MaxRecord)}
	l.Chain.Timestamp = Epoch
	l.do(fs.MkdirAll(path.Join(dir, "journal")))
	var err error
	l.builder, err = journal.NewBuilder(journal.BuilderOptions{FS: fs, Dir: dir, Cluster: id.Cluster, SegmentBytes: segment},
		wire.Chain{})
	l.do(err)
	return l
}

func (l *Log) do(err error) {
	if err != nil {
		l.t.Helper()
		l.t.Fatal(err)
	}
}

// Append writes a record; term and stamp are the log's.
func (l *Log) Append(r wire.Record, payload []byte) {
	r.Term, r.Timestamp = l.term, l.Chain.Timestamp+Tick
	n := l.Chain.Append(l.buf, &r, payload)
	l.do(l.builder.Append(l.buf[:n], l.Chain))
	if len(l.Ends) < maxEnds {
		l.Ends = append(l.Ends, l.Chain.Position)
	}
}

// Lead begins a term.
func (l *Log) Lead(leader wire.NodeID) {
	if l.Chain.Sequence > 0 {
		l.term++
	}
	var b [wire.TermRecordSize]byte
	term := wire.TermRecord{Leader: leader, Version: 1, Incarnation: uint64(leader) * 11, Run: 1}
	l.Append(wire.Record{Kind: wire.RecordTerm}, b[:term.Put(b[:])])
}

// Config says that nodes 1 to members are voters, under the incarnations 11, 22, ..
func (l *Log) Config(members int) {
	c := wire.Config{Rule: wire.RuleDurable, RingBytes: 1 << 20, MaxMessage: wire.MaxMessage, Members: uint8(members),
		Limits: l.Limits}
	for i := range members {
		c.Member[i] = wire.ConfigMember{Node: wire.NodeID(i + 1), Run: 1, Incarnation: uint64(i+1) * 11}
	}
	var b [wire.MaxConfigSize]byte
	l.Append(wire.Record{Kind: wire.RecordConfig}, b[:c.Put(b[:])])
}

// Open opens a session.
func (l *Log) Open(id wire.SessionID, name string) {
	open := wire.SessionOpen{Token: uint64(id) + 1, Window: 64, Name: []byte(name)}
	b := make([]byte, wire.SessionOpenSize+len(name))
	l.Append(wire.Record{Kind: wire.RecordSessionOpen, Session: id}, b[:open.Put(b)])
}

// Message is a message of a session; it acknowledges all responses but those that are to come.
func (l *Log) Message(id wire.SessionID, correlation uint64, service uint16, acked uint32, payload []byte) {
	l.Append(wire.Record{Kind: wire.RecordMessage, Session: id, Correlation: correlation, Service: service, Acked: acked},
		payload)
}

// Sync makes what there is durable and says so, and closes nothing.
func (l *Log) Sync() {
	l.t.Helper()
	l.do(l.builder.Sync())
	l.do(journal.FinishDirectory(l.fs, l.Dir, l.id, l.Chain))
}

// Finish makes it a node's directory.
func (l *Log) Finish() {
	l.t.Helper()
	l.Sync()
	l.do(errors.Join(l.builder.Close()))
}
