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
	"lockstep/journal/snapshot"
	"lockstep/wire"
)

// dropped makes a log whose first segments are gone, and returns where it begins and the number of its first record.
func dropped(t *testing.T, fs vfs.FS) (l *journaltest.Log, floor wire.Position, first uint64) {
	l = newLog(t, fs, 30_000)
	l.Finish()
	floor = l.Drop(l.Ends[20_000])
	for i, end := range l.Ends {
		if end == floor {
			return l, floor, uint64(i) + 2
		}
	}
	t.Fatalf("no record begins at the floor %d", floor)
	return nil, 0, 0
}

// TestRangesOfALogThatBeginsBehindAFloor: what lies before the first record held is not there, whatever it is asked by.
func TestRangesOfALogThatBeginsBehindAFloor(t *testing.T) {
	fs := vfs.NewMem()
	l, floor, first := dropped(t, fs)
	stamp := func(sequence uint64) string { return Stamp(journaltest.Epoch + sequence*journaltest.Tick) }
	last := l.Chain.Sequence
	for _, c := range []struct {
		from, to    string
		first, last uint64
	}{
		{"", "", first, last},
		{"seq:1", "", first, last},
		{"0", fmt.Sprint(l.Ends[first]), first, first + 1},
		{fmt.Sprint(floor - 8), fmt.Sprint("seq:", first+3), first, first + 3},
		{fmt.Sprint(floor), fmt.Sprint("seq:", first+3), first, first + 3},
		{fmt.Sprint(floor + 1), fmt.Sprint("seq:", first+3), first + 1, first + 3},
		{"ns:0", stamp(first + 5), first, first + 5},
		{stamp(first + 700), stamp(first + 710), first + 700, first + 710},
		{fmt.Sprint("seq:", last), "", last, last},
	} {
		got, _ := walk(t, fs, &Selection{From: maybe(t, c.from), To: maybe(t, c.to)})
		if len(got) == 0 || got[0] != c.first || got[len(got)-1] != c.last || uint64(len(got)) != c.last-c.first+1 {
			t.Errorf("%q to %q: %d records, want %d to %d", c.from, c.to, len(got), c.first, c.last)
		}
	}
	if got, e := walk(t, fs, &Selection{To: bound(t, fmt.Sprint("seq:", first-1))}); len(got) != 0 || e.Log != nil {
		t.Errorf("all before the floor: %v, %+v", got, e)
	}
	s, err := Gather(fs, dir)
	if err != nil || s.Floor != floor || s.First.Sequence != first || s.Records != last-first+1 || s.Outcome != "intact" {
		t.Errorf("stat: %+v, %v", s, err)
	}
}

// TestFollowALogWhoseBeginningIsDropped: following goes on while segments go.
func TestFollowALogWhoseBeginningIsDropped(t *testing.T) {
	fs := vfs.NewMem()
	l, _, first := dropped(t, fs)
	f := follow(t, fs, 1<<40, &Selection{})
	f.want(t, first, l.Chain.Sequence)
	l.Drop(l.Ends[28_000])
	end := l.Chain.Sequence
	live := journaltest.OpenLive(t, fs, dir, identity.Cluster, 1<<20)
	for range 20 {
		live.Append(2, make([]byte, 100))
	}
	live.Sync()
	f.want(t, end+1, live.Chain.Sequence)
	f.stop()
	if err := <-f.ended; err != nil {
		t.Error(err)
	}
	live.Close()
}

// snapshots publishes two: one that the log says is verified, one that it says another digest of.
func snapshots(t *testing.T, fs vfs.FS) (l *journaltest.Log, good, other wire.Chain) {
	l = newLog(t, fs, 200)
	good = l.Ask()
	l.Flow(1, 30, 2)
	other = l.Ask()
	l.Flow(1, 30, 3)
	last := l.Ask()
	for i, at := range []wire.Chain{good, other, last} {
		l.Publish(snapshot.Manifest{Chain: at, Digest: uint64(i) + 1, Version: 1}, make([]byte, 5000+i))
	}
	l.Verify(other.Position, 99)
	l.Verify(good.Position, 1)
	l.Finish()
	return l, good, other
}

func TestSnapshotsAreListedWithWhatTheLogSaysOfThem(t *testing.T) {
	fs := vfs.NewMem()
	_, good, other := snapshots(t, fs)
	list, damage, err := Snapshots(fs, dir)
	if err != nil || len(damage) != 0 || len(list) != 3 {
		t.Fatalf("%+v, %v, %v", list, damage, err)
	}
	if p := list[0]; !p.Verified || p.Problem != "" || p.Position != good.Position || p.Sequence != good.Sequence ||
		p.Bytes != 5000 || p.Digest != "0000000000000001" || p.Time != Stamp(good.Timestamp) {
		t.Errorf("%+v", p)
	}
	if p := list[1]; p.Verified || !strings.Contains(p.Problem, "a majority has 0000000000000063") ||
		p.Position != other.Position {
		t.Errorf("%+v", p)
	}
	if p := list[2]; p.Verified || p.Problem != "" {
		t.Errorf("%+v", p)
	}
}

// TestCheckSnapshotsFindsWhatIsWrong: with the data, the manifest, and the place.
func TestCheckSnapshotsFindsWhatIsWrong(t *testing.T) {
	name := func(at wire.Position, file string) string { return fmt.Sprintf("%s/snapshot/%020d/%s", dir, at, file) }
	for what, want := range map[string]string{
		"nothing": "", "data": "SHA-256", "manifest": "does not fit", "short": "bytes long", "place": "the log has record",
		"cluster": "of cluster",
	} {
		fs := vfs.NewMem()
		l, good, _ := snapshots(t, fs)
		var err error
		switch what {
		case "data":
			err = fs.Rot(name(good.Position, "data"), 4321, 1)
		case "manifest":
			err = fs.Rot(name(good.Position, "manifest"), 100, 1)
		case "short":
			err = fs.Remove(name(good.Position, "data"))
			if err == nil {
				_, err = fs.OpenFile(name(good.Position, "data"), vfs.Create)
			}
		case "place", "cluster":
			store, openErr := snapshot.Open(fs, dir, identity.Cluster)
			if err = openErr; err == nil {
				err = store.Remove(good.Position)
			}
			chain := good
			if what == "place" {
				chain.Checksum++
			} else {
				err = errors.Join(err, journal.Format(fs, "/elsewhere", journal.Identity{Cluster: 5, Node: 1, Incarnation: 1}),
					fs.Rename("/elsewhere/identity", dir+"/identity"))
			}
			l.Publish(snapshot.Manifest{Chain: chain, Digest: 1, Version: 1}, make([]byte, 5000))
		}
		if err != nil {
			t.Fatal(err)
		}
		list, damage, err := CheckSnapshots(fs, dir)
		if err != nil {
			t.Fatal(what, err)
		}
		found := strings.Join(damage, "; ")
		for _, p := range list {
			if p.Position == good.Position {
				found += p.Problem
			}
		}
		if !strings.Contains(found, want) || want == "" && found != "" {
			t.Errorf("%s: %q, want %q", what, found, want)
		}
	}
}

// TestViewOfSnapshotRecords: what they ask for, and what they say.
func TestViewOfSnapshotRecords(t *testing.T) {
	fs := vfs.NewMem()
	_, good, _ := snapshots(t, fs)
	l, err := Open(fs, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var lines []string
	if _, err := l.Walk(&Selection{Kinds: []wire.RecordKind{wire.RecordSnapshot}}, func(r *wire.Record, payload []byte) error {
		text, err := json.Marshal(View(r, payload).Asks)
		lines = append(lines, string(text))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"verified":%d,"digest":"0000000000000001"}`, good.Position)
	if len(lines) != 5 || lines[0] != `{"followers":true,"leader":true}` || lines[4] != want {
		t.Errorf("%q, want at last %q", lines, want)
	}
}

// TestReadingBesideRetention: a walk that retention overtakes says so; one that is followed goes on behind.
func TestReadingBesideRetention(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs, 60_000)
	l.Finish()
	log, err := Open(fs, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	seen := 0
	_, err = log.Walk(&Selection{}, func(*wire.Record, []byte) error {
		if seen++; seen == 100 {
			l.Drop(l.Ends[30_000])
		}
		return nil
	})
	if !errors.Is(err, ErrDropped) || seen < 100 {
		t.Errorf("%d records, then %v", seen, err)
	}
	if s, err := Gather(fs, dir); err != nil || s.Floor == 0 {
		t.Errorf("%+v, %v", s, err)
	}
	log, err = Open(fs, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var last uint64
	missing := 0
	var notice string
	err = Follow(ctx, fs, dir, 1<<40, &Selection{}, time.Millisecond, func(r *wire.Record, _ []byte) error {
		if last > 0 && r.Sequence != last+1 {
			missing += int(r.Sequence - last - 1)
		} else if last == 0 {
			l.Drop(l.Ends[50_000])
		}
		if last = r.Sequence; last == l.Chain.Sequence {
			stop()
		}
		return nil
	}, func(text string) { notice = text })
	if err != nil || last != l.Chain.Sequence || missing == 0 || !strings.Contains(notice, "dropped its log up to position") {
		t.Errorf("followed up to %d, %d missing, %q, %v", last, missing, notice, err)
	}
}

// removing is a file system in which a snapshot is removed when its data is opened.
type removing struct {
	*vfs.Mem
	t  *testing.T
	at wire.Position
}

func (r *removing) OpenFile(name string, flags vfs.Flags) (vfs.File, error) {
	if strings.Contains(name, fmt.Sprintf("%020d/data", r.at)) {
		store, err := snapshot.Open(r.Mem, dir, identity.Cluster)
		if err == nil {
			err = store.Remove(r.at)
		}
		if err != nil {
			r.t.Error(err)
		}
	}
	return r.Mem.OpenFile(name, flags)
}

// TestCheckSnapshotsBesideRetention: what the node removes meanwhile is no damage.
func TestCheckSnapshotsBesideRetention(t *testing.T) {
	fs := vfs.NewMem()
	_, good, other := snapshots(t, fs)
	list, damage, err := CheckSnapshots(&removing{Mem: fs, t: t, at: good.Position}, dir)
	if err != nil || len(damage) > 0 || len(list) != 2 || list[0].Position != other.Position {
		t.Errorf("%+v, %v, %v", list, damage, err)
	}
}
