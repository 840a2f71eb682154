package command

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"lockstep/internal/inspect"
	"lockstep/internal/journaltest"
	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/wire"
)

// snapshotted makes a node's directory with three verified snapshots, as nodes take them; the last one is at the third
// place returned, and the log holds some more.
func snapshotted(t *testing.T) (*journaltest.Log, []wire.Chain) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "node")
	l := journaltest.New(t, vfs.Real{}, dir, journal.Identity{Cluster: 0xabcdef, Node: 1, Incarnation: 11, Run: 1}, 1<<20)
	l.Lead(1)
	l.Config(3)
	l.Flow(3, 6000, 1)
	taker := journaltest.NewTaker(l, productionServices)
	var points []wire.Chain
	for i := range 3 {
		points = append(points, taker.Take())
		l.Flow(3, 6000, uint64(i)+2)
	}
	l.Finish()
	commit(t, dir, l.Chain.Position)
	return l, points
}

var hashLine = regexp.MustCompile("state ([0-9a-f]{16})")

// TestJournalCommandsOnALogThatBeginsBehindPosition0: beside one that has all of it.
func TestJournalCommandsOnALogThatBeginsBehindPosition0(t *testing.T) {
	whole, points := snapshotted(t)
	l, _ := snapshotted(t)
	floor := l.Drop(points[1].Position)
	if floor <= points[0].Position {
		t.Fatalf("it begins at %d", floor)
	}
	replaced := func(args string) []string {
		return strings.Fields(strings.NewReplacer("WHOLE", whole.Dir, "DROPPED", l.Dir).Replace(args))
	}
	run := func(code int, args string, texts ...string) ran {
		t.Helper()
		r := lockstep(t, replaced(args)...)
		r.want(t, code, texts...)
		return r
	}
	begins := fmt.Sprintf("begins at position %d", floor)
	run(0, "journal verify DROPPED", "intact", "3 snapshots", "2 of them sound and verified")
	run(0, "journal stat DROPPED", fmt.Sprintf("positions %d to %d", floor, l.Chain.Position), "3, the newest at position")
	run(0, "journal dump DROPPED --count 1", begins, fmt.Sprintf(`"position":%d`, floor))
	run(0, "journal dump DROPPED --kind snapshot", `"followers":true`, fmt.Sprintf(`"verified":%d`, points[2].Position))
	run(1, "journal find DROPPED --sequence 5", begins, "no such record")
	if r := run(0, "journal find DROPPED --sequence "+fmt.Sprint(l.Chain.Sequence-5), "position"); r.errors != "" {
		t.Errorf("a place that is held: %s", r.errors)
	}
	run(0, "journal tail DROPPED -n 2", fmt.Sprintf(`"sequence":%d`, l.Chain.Sequence))
	run(0, "journal diff WHOLE DROPPED", fmt.Sprintf("compared from position %d on", floor), "the same up to")
	run(0, "journal diff --replay WHOLE DROPPED", fmt.Sprintf("states from %d", points[1].Position), "the same states up to")
	for _, to := range []string{"", " --to " + fmt.Sprint(points[2].Position+4000), " --to seq:" + fmt.Sprint(points[2].Sequence)} {
		want := hashLine.FindString(run(0, "journal replay --from-start WHOLE"+to, "state ").out)
		run(0, "journal replay WHOLE"+to, fmt.Sprintf("begun with the snapshot at position %d", points[2].Position), want)
		run(0, "journal replay DROPPED"+to, fmt.Sprintf("begun with the snapshot at position %d", points[2].Position), want)
		run(0, "journal replay --from-start DROPPED"+to,
			fmt.Sprintf("begun with the snapshot at position %d", points[1].Position), want)
	}
	run(1, "journal replay DROPPED --to "+fmt.Sprint(points[1].Position-8), "no snapshot to begin with", fmt.Sprint(floor))
	run(0, "journal replay DROPPED --points", "point ")
}

// TestJournalSnapshotsLists them as text and as JSON, and names what is wrong.
func TestJournalSnapshotsLists(t *testing.T) {
	l, points := snapshotted(t)
	text := lockstep(t, "journal", "snapshots", l.Dir)
	text.want(t, 0, "POSITION")
	if n := strings.Count(text.out, "yes"); n != 3 {
		t.Errorf("%d are verified\n%s", n, text.out)
	}
	var list []inspect.Snapshot
	if err := json.Unmarshal([]byte(lockstep(t, "journal", "snapshots", "--json", l.Dir).out), &list); err != nil || len(list) != 3 {
		t.Fatal(list, err)
	}
	for i, p := range list {
		if p.Position != points[i].Position || p.Sequence != points[i].Sequence || !p.Verified || p.Bytes == 0 {
			t.Errorf("%+v, want %+v", p, points[i])
		}
	}
	name := filepath.Join(l.Dir, "snapshot", fmt.Sprintf("%020d", points[1].Position))
	data, err := os.ReadFile(filepath.Join(name, "data"))
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(filepath.Join(name, "data"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	lockstep(t, "journal", "snapshots", l.Dir).want(t, 0, "yes") // it does not read data
	lockstep(t, "journal", "verify", l.Dir).want(t, 1, "2 of them sound", fmt.Sprint(points[1].Position), "SHA-256")
	if err := os.Truncate(filepath.Join(name, "data"), 100); err != nil {
		t.Fatal(err)
	}
	lockstep(t, "journal", "snapshots", l.Dir).want(t, 1, "bytes long")
	empty := journalOf(t, 1, 10, 1)
	lockstep(t, "journal", "snapshots", empty.Dir).want(t, 0, "no snapshots")
	if r := lockstep(t, "journal", "snapshots", "--json", empty.Dir); r.code != 0 || strings.TrimSpace(r.out) != "[]" {
		t.Errorf("%+v", r)
	}
}

// TestVerifySaysWhatANodeStartsFrom: damage below a snapshot is told, and that a node starts from there all the same; damage
// behind the snapshot is what it finds.
func TestVerifySaysWhatANodeStartsFrom(t *testing.T) {
	l, points := snapshotted(t)
	rot := func(at wire.Position) {
		t.Helper()
		list, err := journal.Segments(vfs.Real{}, l.Dir)
		if err != nil {
			t.Fatal(err)
		}
		for i := range list {
			if list[i].First > at || at >= list[i].End() {
				continue
			}
			name := filepath.Join(l.Dir, list[i].Name)
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			b[journal.SegmentHeaderBytes+at-list[i].First] ^= 4
			if err := os.WriteFile(name, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	rot(points[0].Position)
	lockstep(t, "journal", "verify", l.Dir).want(t, 1, "damaged", "starts from its snapshot all the same",
		fmt.Sprintf("behind the snapshot at position %d", points[2].Position), "intact")
	rot(points[2].Position + 40_000)
	lockstep(t, "journal", "verify", l.Dir).want(t, 1, "starts from its snapshot all the same",
		fmt.Sprintf("behind the snapshot at position %d up to", points[2].Position), ": damaged at")
}

// TestArchiveAndRestoreWithSnapshots: what is said, over a gap, and what a restored node begins with.
func TestArchiveAndRestoreWithSnapshots(t *testing.T) {
	l, points := snapshotted(t)
	archive, restored := filepath.Join(t.TempDir(), "archive"), filepath.Join(t.TempDir(), "restored")
	end := l.Ends[4999]
	lockstep(t, "journal", "archive", "--from", l.Dir, "--to", archive, "--commit", fmt.Sprint(end)).
		want(t, 0, "5000 records, up to position", "0 snapshots")
	floor := l.Drop(points[1].Position)
	r := lockstep(t, "journal", "archive", "--quiet", "--from", l.Dir, "--to", archive)
	r.want(t, 0, fmt.Sprintf("lacks the log from position %d to %d", end, floor))
	if r.out != "" {
		t.Errorf("--quiet: %s", r.out)
	}
	r = lockstep(t, "journal", "archive", "--quiet", "--from", l.Dir, "--to", archive)
	if r.code != 0 || r.out+r.errors != "" {
		t.Errorf("nothing new: %+v", r)
	}
	lockstep(t, "journal", "stat", l.Dir).want(t, 0, fmt.Sprintf("up to %d\n", l.Chain.Position))
	lockstep(t, "journal", "verify", archive).want(t, 0, "archive of cluster", fmt.Sprintf("from position %d to", floor), "2 snapshots")
	lockstep(t, "journal", "snapshots", archive).want(t, 0, fmt.Sprint(points[2].Position), "yes")
	lockstep(t, "journal", "stat", archive).want(t, 0, "stretches of log with gaps", fmt.Sprintf("positions %d to", floor))
	lockstep(t, "journal", "dump", filepath.Join(archive, "journal"), "--from", "seq:5000").want(t, 0, `"sequence":5000`)
	restore := func(code int, to string, texts ...string) {
		t.Helper()
		os.RemoveAll(restored)
		lockstep(t, "journal", "restore", "--from", archive, "--to", restored, "--node", "1", "--to-position", to).want(t, code, texts...)
	}
	at := points[2].Position + 2000
	restore(0, fmt.Sprint(at), fmt.Sprintf("starts from the snapshot at position %d", points[2].Position), "the archive goes on")
	lockstep(t, "journal", "verify", restored).want(t, 0, "intact", "2 snapshots")
	want := hashLine.FindString(lockstep(t, "journal", "replay", archive, "--to", fmt.Sprint(at)).out)
	lockstep(t, "journal", "replay", restored).want(t, 0, want, "begun with the snapshot")
	restore(1, fmt.Sprint(floor-8), "never archived")
	restore(1, fmt.Sprint(floor), "nothing tells the state")
	restore(0, fmt.Sprint(end), "5000 records from position 0")
	node := journalOf(t, 1, 10, 1)
	lockstep(t, "journal", "archive", "--from", l.Dir, "--to", node.Dir).want(t, exitUsage, "a node's directory")
}

// TestReplayNamesAStateThatNobodyElseHad: exit code 1, and where.
func TestReplayNamesAStateThatNobodyElseHad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "node")
	l := journaltest.New(t, vfs.Real{}, dir, journal.Identity{Cluster: 0xabcdef, Node: 1, Incarnation: 11, Run: 1}, 1<<20)
	l.Lead(1)
	l.Config(1)
	l.Flow(2, 100, 1)
	at := journaltest.NewTaker(l, productionServices).TakeUnverified()
	l.Flow(2, 100, 2)
	l.Verify(at.Position, 4711)
	l.Finish()
	for _, flags := range []string{"", "--from-start"} {
		lockstep(t, strings.Fields("journal replay "+dir+" "+flags)...).want(t, 1, "otherwise than a majority",
			fmt.Sprint(at.Position), "0000000000001267", "before it: position")
	}
	lockstep(t, "journal", "replay", dir, "--to", fmt.Sprint(at.Position)).want(t, 0, "state ")
	lockstep(t, "journal", "verify", dir).want(t, 1, "a majority has 0000000000001267")
}
