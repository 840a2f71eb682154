package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"lockstep/internal/journaltest"
	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/service"
	"lockstep/wire"
)

const dir = "/node"

var identity = journal.Identity{Cluster: 0xabc, Node: 2, Incarnation: 22, Run: 4}

func newLog(t *testing.T, fs vfs.FS, messages int) *journaltest.Log {
	l := journaltest.New(t, fs, dir, identity, 1<<20)
	l.Lead(1)
	l.Config(3)
	l.Flow(3, messages, 1)
	l.Lead(2)
	l.Flow(0, 0, 1)
	return l
}

// walk is the numbers of the selected records.
func walk(t *testing.T, fs vfs.FS, s *Selection) ([]uint64, Ended) {
	t.Helper()
	l, err := Open(fs, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var list []uint64
	e, err := l.Walk(s, func(r *wire.Record, _ []byte) error {
		list = append(list, r.Sequence)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list, e
}

func bound(t *testing.T, text string) Bound {
	t.Helper()
	b, err := ParseBound(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRanges: both ends of a range belong to it, whatever they are given in.
func TestRanges(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs, 500)
	l.Finish()
	stamp := func(sequence uint64) string { return Stamp(journaltest.Epoch + sequence*journaltest.Tick) }
	for _, c := range []struct {
		from, to    string
		first, last uint64
	}{
		{"", "", 1, 506},
		{"seq:7", "seq:9", 7, 9},
		{"seq:0", "seq:1", 1, 1},
		{fmt.Sprint(l.Ends[9]), fmt.Sprint(l.Ends[19]), 11, 20},
		{fmt.Sprint(l.Ends[9] + 1), fmt.Sprint(l.Ends[19] - 1), 12, 19},
		{stamp(100), stamp(200), 100, 200},
		{"ns:0", "ns:" + fmt.Sprint(uint64(journaltest.Epoch+300*journaltest.Tick+1)), 1, 300},
		{"seq:400", stamp(402), 400, 402},
		{"seq:506", "", 506, 506},
	} {
		got, e := walk(t, fs, &Selection{From: maybe(t, c.from), To: maybe(t, c.to)})
		if len(got) == 0 || got[0] != c.first || got[len(got)-1] != c.last || uint64(len(got)) != c.last-c.first+1 {
			t.Errorf("%q to %q: %d records, want %d to %d", c.from, c.to, len(got), c.first, c.last)
		}
		if (e.Log != nil) != (c.last == 506 && c.to == "") {
			t.Errorf("%q to %q: it came to the end: %v", c.from, c.to, e.Log)
		}
	}
	if got, e := walk(t, fs, &Selection{From: bound(t, "seq:507")}); len(got) != 0 || e.Chain != l.Chain {
		t.Errorf("behind the end: %v, %+v", got, e)
	}
	for _, bad := range []string{"x", "-1", "seq:", "seq:x", "ns:-4", "2026-13-01T00:00:00Z", "1.5"} {
		if b, err := ParseBound(bad); !errors.Is(err, ErrBound) {
			t.Errorf("%q became %v, %v", bad, b, err)
		}
	}
}

func maybe(t *testing.T, text string) Bound {
	t.Helper()
	if text == "" {
		return Bound{}
	}
	return bound(t, text)
}

func TestFilters(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs, 480)
	l.Finish()
	order := uint64(3)
	count := func(s Selection) int {
		got, _ := walk(t, fs, &s)
		return len(got)
	}
	session := journaltest.Session(1)
	for what, n := range map[string]int{
		"terms":       count(Selection{Kinds: []wire.RecordKind{wire.RecordTerm}}) - 2,
		"two kinds":   count(Selection{Kinds: []wire.RecordKind{wire.RecordTerm, wire.RecordConfig}}) - 3,
		"a session":   count(Selection{Sessions: []wire.SessionID{session}}) - 161,
		"echoes":      count(Selection{Services: []uint16{service.Echo}}) - 30,
		"not none":    count(Selection{Services: []uint16{service.None}}),
		"correlation": count(Selection{Correlation: 5}) - 3,
		"one message": count(Selection{Correlation: 5, Sessions: []wire.SessionID{session}}) - 1,
		"some":        count(Selection{Count: 7}) - 7,
	} {
		if n != 0 {
			t.Errorf("%s: %d too many", what, n)
		}
	}
	all := count(Selection{Order: &order})
	one := count(Selection{Order: &order, Sessions: []wire.SessionID{session}})
	if all < 3 || one < 1 || one > 2 || all > 6 { // each client enters its order 3 and may cancel it
		t.Errorf("order 3: %d records, %d of one session", all, one)
	}
}

// TestViewDecodesBySchema: orders and the cluster's own records are read, what cannot be is base64 with its length.
func TestViewDecodesBySchema(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs, 40)
	l.Message(0x105, 1, service.OrderBook, 0, []byte("this is no order"))
	l.Append(wire.Record{Kind: wire.RecordSessionClose, Session: 0x101}, nil)
	l.Append(wire.Record{Kind: wire.RecordKind(200)}, []byte{1, 2, 3})
	l.Finish()
	r, err := Open(fs, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var lines []map[string]any
	if _, err := r.Walk(&Selection{}, func(r *wire.Record, payload []byte) error {
		text, err := json.Marshal(View(r, payload))
		if err != nil {
			return err
		}
		var line map[string]any
		if err := json.Unmarshal(text, &line); err != nil {
			return err
		}
		lines = append(lines, line)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	text := func(i int, key string) string { return fmt.Sprint(lines[i][key]) }
	n := len(lines)
	if !strings.Contains(text(0, "leader"), "node:1") || text(0, "kind") != "term" || text(0, "time") == "" {
		t.Errorf("%v", lines[0])
	}
	if !strings.Contains(text(1, "config"), "durable") || strings.Count(text(1, "config"), "incarnation") != 3 {
		t.Errorf("%v", lines[1])
	}
	if !strings.Contains(text(2, "opened"), "flow") || text(2, "session") != "0000000000000101" {
		t.Errorf("%v", lines[2])
	}
	if o, ok := lines[5]["order"].(map[string]any); !ok || o["action"] != "new" || o["client_order"] == nil ||
		o["side"] != "buy" && o["side"] != "sell" || lines[5]["payload"] != nil {
		t.Errorf("%v", lines[5])
	}
	if text(n-3, "payload") != "dGhpcyBpcyBubyBvcmRlcg==" || text(n-3, "payload_bytes") != "16" || lines[n-3]["order"] != nil {
		t.Errorf("%v", lines[n-3])
	}
	if lines[n-2]["payload"] != nil || text(n-2, "kind") != "session-close" {
		t.Errorf("%v", lines[n-2])
	}
	if text(n-1, "payload") != "AQID" {
		t.Errorf("%v", lines[n-1])
	}
}

func TestStat(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs, 20_000)
	l.Append(wire.Record{Kind: wire.RecordSessionClose, Session: 0x101}, nil)
	l.Finish()
	s, err := Gather(fs, dir)
	if err != nil {
		t.Fatal(err)
	}
	if s.Records != l.Chain.Sequence || s.End != l.Chain.Position || s.Watermark != s.End || s.Node != 2 || s.Run != 4 ||
		s.Cluster != "0000000000000abc" || s.Outcome != "intact" || s.Opened != 3 || s.Closed != 1 || s.Segments < 3 ||
		s.Kinds["message"].Records != 20_000 || s.Services["echo"].Records != 1250 || s.Terms != 2 ||
		s.Newest[1].Leader != 2 || s.Newest[1].Term != 2 || s.First.Sequence != 1 || s.Last.Sequence != s.Records {
		t.Errorf("%+v", s)
	}
	if want := 1e9 / float64(journaltest.Tick); s.PerSecond < want*0.999 || s.PerSecond > want*1.001 {
		t.Errorf("%v records a second, want %v", s.PerSecond, want)
	}
	total := uint64(0)
	for _, c := range s.Kinds {
		total += c.Bytes
	}
	if total != uint64(s.End) {
		t.Errorf("the kinds have %d bytes of %d", total, s.End)
	}
}

// TestDamageIsAnErrorAndATornEndIsNot: what comes before is shown in both cases.
func TestDamageIsAnErrorAndATornEndIsNot(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs, 500)
	l.Finish()
	torn := fs.Crash(vfs.KeepAll)
	// A write that was never promised: the watermark is below it.
	if err := journal.StoreWatermark(torn, dir, l.Ends[490]); err != nil {
		t.Fatal(err)
	}
	name := dir + "/" + journal.SegmentName(0)
	at := func(position wire.Position) int64 { return journal.SegmentHeaderBytes + int64(position) }
	last := 495
	for l.Ends[last]/vfs.SectorBytes == (l.Ends[last+1]-1)/vfs.SectorBytes { // a torn write breaks no single sector
		last++
	}
	if err := errors.Join(torn.Rot(name, at(l.Ends[last]+70), 1), fs.Rot(name, at(l.Ends[300]+70), 1)); err != nil {
		t.Fatal(err)
	}
	got, e := walk(t, torn, &Selection{})
	if len(got) != last+1 || e.Log == nil || e.Log.Outcome != journal.OutcomeTorn {
		t.Errorf("torn: %d records, %+v", len(got), e)
	}
	r, err := Open(fs, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n := 0
	e, err = r.Walk(&Selection{}, func(*wire.Record, []byte) error { n++; return nil })
	if !errors.Is(err, journal.ErrCorrupt) || n != 301 || e.Log.Outcome != journal.OutcomeDamaged ||
		!strings.Contains(err.Error(), fmt.Sprint(at(l.Ends[300]))) {
		t.Errorf("damaged: %d records, %v, %v", n, e.Log, err)
	}
	e, err = r.Walk(&Selection{To: At(l.Ends[300])}, func(*wire.Record, []byte) error { return nil })
	if err != nil || e.Selected != 301 {
		t.Errorf("up to the damage: %d records, %v", e.Selected, err)
	}
	if s, err := Gather(fs, dir); !errors.Is(err, journal.ErrCorrupt) || s == nil || s.Records != 301 {
		t.Errorf("stat: %+v, %v", s, err)
	}
}

// following is a Follow on a goroutine of its own.
type following struct {
	records chan uint64
	notices chan string
	ended   chan error
	stop    func()
}

func follow(t *testing.T, fs vfs.FS, last uint64, s *Selection) *following {
	ctx, stop := context.WithCancel(context.Background())
	f := &following{make(chan uint64, 10_000), make(chan string, 10), make(chan error, 1), stop}
	go func() {
		f.ended <- Follow(ctx, fs, dir, last, s, time.Millisecond, func(r *wire.Record, _ []byte) error {
			f.records <- r.Sequence
			return nil
		}, func(notice string) { f.notices <- notice })
	}()
	t.Cleanup(stop)
	return f
}

// want takes records until the last one has come.
func (f *following) want(t *testing.T, first, last uint64) {
	t.Helper()
	for next := first; next <= last; next++ {
		select {
		case got := <-f.records:
			if got != next {
				t.Fatalf("record %d, want %d", got, next)
			}
		case err := <-f.ended:
			t.Fatalf("it ended before record %d: %v", next, err)
		case <-time.After(2 * time.Minute):
			t.Fatalf("record %d does not come", next)
		}
	}
}

// TestFollow: the last records, those that are written, over segments, until it is stopped or has what it wants.
func TestFollow(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs, 100)
	l.Sync()
	end := l.Chain.Sequence
	f := follow(t, fs, 10, &Selection{})
	f.want(t, end-9, end)
	for range 20 {
		l.Flow(1, 700, 1)
		l.Sync()
		f.want(t, end+1, l.Chain.Sequence)
		end = l.Chain.Sequence
	}
	f.stop()
	if err := <-f.ended; err != nil {
		t.Fatal(err)
	}
	f = follow(t, fs, 1<<40, &Selection{Count: 2, Kinds: []wire.RecordKind{wire.RecordTerm}})
	if err := <-f.ended; err != nil || len(f.records) != 2 {
		t.Errorf("%d terms, %v", len(f.records), err)
	}
}

// cutLog has the journal of the directory cut its log, as after a change of leader, and write on in a new term.
func cutLog(t *testing.T, fs vfs.FS, at wire.Chain, more int) {
	t.Helper()
	live := journaltest.OpenLive(t, fs, dir, identity.Cluster, 1<<20)
	live.Cut(at)
	for range more {
		live.Append(at.Term+1, make([]byte, 16))
	}
	live.Sync()
	live.Close()
}

// TestFollowGoesBackWhenTheLogIsCut: within a segment and over several, to before what was shown first and behind it.
func TestFollowGoesBackWhenTheLogIsCut(t *testing.T) {
	for _, back := range []int{5, 3000, 4050} {
		t.Run(fmt.Sprint(back), func(t *testing.T) {
			fs := vfs.NewMem()
			l := newLog(t, fs, 20_000)
			l.Finish()
			f := follow(t, fs, 4000, &Selection{})
			f.want(t, l.Chain.Sequence-3999, l.Chain.Sequence)
			cutLog(t, fs, chainAt(t, fs, l.Chain.Sequence-uint64(back)), 20)
			f.want(t, l.Chain.Sequence-uint64(back)+1, l.Chain.Sequence-uint64(back)+20)
			if notice := <-f.notices; !strings.Contains(notice, fmt.Sprintf("sequence %d", l.Chain.Sequence-uint64(back))) {
				t.Error(notice)
			}
			f.stop()
			if err := <-f.ended; err != nil {
				t.Error(err)
			}
		})
	}
	fs := vfs.NewMem()
	l := newLog(t, fs, 20_000)
	l.Finish()
	f := follow(t, fs, 100, &Selection{})
	f.want(t, l.Chain.Sequence-99, l.Chain.Sequence)
	cutLog(t, fs, chainAt(t, fs, l.Chain.Sequence-5000), 1)
	if err := <-f.ended; !errors.Is(err, ErrCut) {
		t.Errorf("cut further back than is remembered: %v", err)
	}
}

// chainAt is the chain behind a record.
func chainAt(t *testing.T, fs vfs.FS, sequence uint64) wire.Chain {
	t.Helper()
	l, err := Open(fs, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	e, err := l.Walk(&Selection{From: Sequence(sequence), Count: 1}, func(*wire.Record, []byte) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return e.Chain
}

// TestReadingBesideTheWriter walks and follows a log on the real file system while it is written, synced and cut.
func TestReadingBesideTheWriter(t *testing.T) {
	fs := &vfs.Below{Root: t.TempDir()}
	l := newLog(t, fs, 100)
	l.Finish()
	stop, stopped := make(chan struct{}), make(chan error, 2)
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			log, err := Open(fs, dir)
			if err != nil {
				stopped <- err
				return
			}
			last := uint64(0)
			_, err = log.Walk(&Selection{}, func(r *wire.Record, _ []byte) error {
				if r.Sequence != last+1 {
					return fmt.Errorf("record %d behind %d", r.Sequence, last)
				}
				last = r.Sequence
				return nil
			})
			log.Close()
			if err != nil && !errors.Is(err, ErrCut) {
				stopped <- err
				return
			}
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	var followed wire.Chain // written by Follow's goroutine until it has ended
	go func() {
		stopped <- Follow(ctx, fs, dir, 10, &Selection{}, time.Millisecond, func(r *wire.Record, _ []byte) error {
			followed.Sequence, followed.Checksum = r.Sequence, r.Checksum
			return nil
		}, func(string) {})
	}()
	live := journaltest.OpenLive(t, fs, dir, identity.Cluster, 256<<10)
	for term := wire.Term(3); term < 30; term++ {
		commit := live.Chain
		for i := range 40 {
			live.Append(term, make([]byte, i*101%3000))
			if i%5 == 4 {
				live.Sync()
			}
			if i == 10 {
				commit = live.Chain
			}
		}
		if term%3 == 0 {
			live.Cut(commit)
		}
	}
	live.Sync()
	time.Sleep(100 * time.Millisecond) // Follow may come to the end: what it showed last is checked if it has
	close(stop)
	cancel()
	if err := errors.Join(<-stopped, <-stopped); err != nil {
		t.Fatal(err)
	}
	if followed.Sequence == live.Chain.Sequence && followed.Checksum != live.Chain.Checksum {
		t.Errorf("Follow showed record %d with checksum %08x, it has %08x", followed.Sequence, followed.Checksum,
			live.Chain.Checksum)
	}
	live.Close()
}
