package command

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/counters"
	"lockstep/internal/journaltest"
	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/wire"
)

// journalOf makes a node's directory with a log of so many messages, committed as the counters say.
func journalOf(t *testing.T, node wire.NodeID, messages int, seed uint64) *journaltest.Log {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "node")
	l := journaltest.New(t, vfs.Real{}, dir, journal.Identity{Cluster: 0xabcdef, Node: node, Incarnation: 22, Run: 1}, 1<<20)
	l.Lead(1)
	l.Config(3)
	l.Flow(3, messages, seed)
	l.Finish()
	commit(t, dir, l.Chain.Position)
	return l
}

// commit has the counters of a node say how far it has committed.
func commit(t *testing.T, dir string, at wire.Position) {
	t.Helper()
	f, err := counters.Create(filepath.Join(dir, "counters"), 16)
	if err != nil {
		t.Fatal(err)
	}
	f.Counter("lockstep_commit_position", "").Set(uint64(at))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// rot flips a bit of a record.
func rot(t *testing.T, dir string, at wire.Position) {
	t.Helper()
	name := filepath.Join(dir, journal.SegmentName(0))
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[journal.SegmentHeaderBytes+int(at)] ^= 1
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestJournalCommandsExitAsDocumented(t *testing.T) {
	good, longer, other := journalOf(t, 1, 500, 1), journalOf(t, 2, 700, 1), journalOf(t, 3, 900, 2)
	bad := journalOf(t, 1, 500, 1)
	rot(t, bad.Dir, bad.Ends[250]+70)
	restored := filepath.Join(t.TempDir(), "restored")
	archive := filepath.Join(t.TempDir(), "archive")
	stamp := fmt.Sprint("ns:", uint64(journaltest.Epoch+100*journaltest.Tick))
	run := func(code int, args string, texts ...string) {
		t.Helper()
		args = strings.NewReplacer("GOOD", good.Dir, "LONGER", longer.Dir, "OTHER", other.Dir, "BAD", bad.Dir,
			"ARCHIVE", archive, "RESTORED", restored).Replace(args)
		t.Run(args, func(t *testing.T) { lockstep(t, strings.Fields(args)...).want(t, code, texts...) })
	}
	run(0, "journal verify GOOD", "505 records", "intact")
	run(0, "journal verify GOOD/journal", "intact")
	run(1, "journal verify BAD", "damaged from position")
	run(0, "journal stat GOOD", "505", "session-open: 3 records", "led by node 1")
	run(0, "journal stat GOOD --json", `"records":505`)
	run(1, "journal stat BAD", "damaged", "sequence 251 at position")
	run(0, "journal dump GOOD --count 1", `"kind":"term"`)
	run(0, "journal dump GOOD --from seq:505", `"sequence":505`)
	run(0, "journal dump GOOD --outputs --from seq:300", `"outputs":[{`, `"report":{"kind":"executed"`, `"sequence":505`)
	run(1, "journal dump BAD --outputs", `"sequence":251`, "damaged")
	run(1, "journal dump BAD --from seq:200", `"sequence":251`, "damaged")
	run(0, "journal dump BAD --to seq:200", `"sequence":200`)
	run(2, "journal dump GOOD --from soon", "soon", "seq:17")
	run(2, "journal dump GOOD --kind order", "order", "session-open")
	run(2, "journal dump GOOD --session xyz", "xyz")
	run(2, "journal dump GOOD --service matching", "matching")
	run(0, "journal tail GOOD -n 2", `"sequence":504`, `"sequence":505`)
	run(0, "journal find GOOD --sequence 77", `"sequence":77`)
	run(0, "journal find GOOD --time "+stamp, `"sequence":100`)
	run(0, "journal find GOOD --position 100", `"sequence":3`)
	run(0, "journal find GOOD --session 101 --correlation 9", `"correlation":9`)
	run(0, "journal find GOOD --session 102 --order 4", `"client_order":4`)
	run(1, "journal find GOOD --sequence 506", "no such record")
	run(1, "journal find GOOD --order 123456", "no such record")
	run(2, "journal find GOOD", "--time")
	run(2, "journal find GOOD --time 5 ", `"5" is no time`)
	run(2, "journal find GOOD --time "+stamp+" --sequence 3", "one of")
	run(0, "journal diff GOOD GOOD", "the same up to")
	run(0, "journal diff GOOD LONGER", "is a prefix of", longer.Dir)
	run(1, "journal diff GOOD OTHER", "first difference", "differ at position")
	run(0, "journal diff --replay GOOD LONGER", "the same states up to")
	run(1, "journal diff --replay GOOD OTHER", "first difference", "differ behind position")
	run(0, "journal replay GOOD", "state ", "sequence 505")
	run(0, "journal replay GOOD --to seq:100", "sequence 100")
	run(0, "journal replay GOOD --until session=101,correlation=9", `"correlation":9`)
	run(1, "journal replay GOOD --until order=123456", "no record fits")
	run(2, "journal replay GOOD --until colour=red", "colour=red")
	run(2, "journal replay GOOD --until-hash red", "red")
	run(1, "journal replay BAD", "sequence 251", "damaged")
	run(0, "journal replay BAD --to seq:200", "sequence 200")
	run(2, "journal archive --from GOOD", "--to")
	run(0, "journal archive --from GOOD --to ARCHIVE", "505 records")
	run(0, "journal archive --from GOOD --to ARCHIVE --check", "nothing new")
	run(0, "journal archive --from LONGER --to ARCHIVE", "200 records")
	run(0, "journal archive --from GOOD --to ARCHIVE", "ahead of this node")
	quiet := lockstep(t, "journal", "archive", "--quiet", "--from", good.Dir, "--to", archive)
	if quiet.code != 0 || quiet.out+quiet.errors != "" {
		t.Errorf("--quiet: %+v", quiet)
	}
	run(1, "journal archive --from OTHER --to ARCHIVE", "another history")
	run(0, "journal verify ARCHIVE", "intact", "archive of cluster 0000000000abcdef")
	run(0, "journal dump ARCHIVE --from seq:705", `"sequence":705`)
	run(2, "journal restore --from ARCHIVE --to RESTORED", "--node")
	run(2, "journal restore --from ARCHIVE --to RESTORED --node 2 --cluster abcdef", "archived cluster")
	run(2, "journal restore --from GOOD --to RESTORED --node 2", "no archive")
	run(2, "journal restore --from ARCHIVE --to RESTORED --node 2 --to-time 17", "no time")
	run(0, "journal restore --from ARCHIVE --to RESTORED --node 2 --to-time "+stamp, "100 records", "the archive goes on")
	run(2, "journal restore --from ARCHIVE --to RESTORED --node 2", "in use")
	run(0, "journal verify RESTORED", "100 records", "intact")
	run(0, "journal diff RESTORED GOOD", "is a prefix of")
}

// TestAuditOfADump: what the book told the clients of a journal adds up, and a dump that was tampered with does not.
func TestAuditOfADump(t *testing.T) {
	l := journalOf(t, 1, 3000, 9)
	dump := lockstep(t, "journal", "dump", l.Dir, "--outputs")
	dump.want(t, 0, `"kind":"executed"`)
	file := filepath.Join(t.TempDir(), "dump.json")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put(dump.out)
	lockstep(t, "order", "audit", file).want(t, 0, "3005 records", "executions", "everything adds up")
	lines := strings.SplitAfter(dump.out, "\n")
	put(strings.Join(append(lines[:1000:1000], lines[1001:]...), ""))
	lockstep(t, "order", "audit", file).want(t, 1, "record 1002: it follows record 1000", "not add up")
	price := regexp.MustCompile(`("kind":"executed"[^}]*"price":)(\d+)`)
	at := price.FindStringSubmatchIndex(dump.out)
	put(dump.out[:at[3]] + "1" + dump.out[at[4]:])
	lockstep(t, "order", "audit", file).want(t, 1, "execution 1 ", "not add up")
	put("something else")
	lockstep(t, "order", "audit", file).want(t, 2, "not the output of")
	lockstep(t, "order", "audit", file+".none").want(t, 2, "no such file")
}

// TestReplayStopsWhereTheHashIs: what a replay prints at a place is found again by --until-hash, at the first place
// that has it.
func TestReplayStopsWhereTheHashIs(t *testing.T) {
	l := journalOf(t, 1, 12_000, 3)
	at := lockstep(t, "journal", "replay", l.Dir, "--to", "seq:7000")
	hash := regexp.MustCompile("state ([0-9a-f]{16})").FindStringSubmatch(at.out)[1]
	again := lockstep(t, "journal", "replay", l.Dir, "--until-hash", hash)
	again.want(t, 0, "state "+hash)
	points := lockstep(t, "journal", "replay", l.Dir, "--points")
	points.want(t, 0, "point ")
	outputs := regexp.MustCompile("outputs ([0-9a-f]{16})").FindStringSubmatch(points.out)[1]
	lockstep(t, "journal", "replay", l.Dir, "--until-hash", outputs).want(t, 0, outputs)
	lockstep(t, "journal", "replay", l.Dir, "--until-hash", "1").want(t, 1, "no record fits")
}

// TestArchiveNeedsToKnowWhatIsCommitted: from the counters, or on the user's word; never what is beyond.
func TestArchiveNeedsToKnowWhatIsCommitted(t *testing.T) {
	l := journalOf(t, 1, 500, 1)
	archive := filepath.Join(t.TempDir(), "archive")
	commit(t, l.Dir, l.Ends[99])
	lockstep(t, "journal", "archive", "--from", l.Dir, "--to", archive).want(t, 0, "100 records")
	if err := os.Remove(filepath.Join(l.Dir, "counters")); err != nil {
		t.Fatal(err)
	}
	lockstep(t, "journal", "archive", "--from", l.Dir, "--to", archive).want(t, exitUsage, "--counters, --control or --commit")
	lockstep(t, "journal", "archive", "--from", l.Dir, "--to", archive, "--commit", fmt.Sprint(l.Ends[199])).
		want(t, 0, "100 records")
}

// TestTailFollowsUntilInterrupted: it shows what is written, and ends with 0.
func TestTailFollowsUntilInterrupted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "node")
	l := journaltest.New(t, vfs.Real{}, dir, journal.Identity{Cluster: 1, Node: 1, Incarnation: 1}, 1<<20)
	l.Lead(1)
	l.Config(1)
	l.Sync()
	cmd := exec.Command("/proc/self/exe", "journal", "tail", "-n", "1000", "-f", dir)
	cmd.Env = append(os.Environ(), asLockstep+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(5*time.Minute, func() { _ = cmd.Process.Kill() })
	defer watchdog.Stop()
	lines := bufio.NewScanner(out)
	for next := uint64(1); next < 400; l.Flow(1, 50, next) {
		l.Sync()
		for ; next <= l.Chain.Sequence; next++ {
			var line struct{ Sequence uint64 }
			if !lines.Scan() {
				t.Fatalf("it ended before record %d", next)
			}
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil || line.Sequence != next {
				t.Fatalf("record %d, %v, want %d", line.Sequence, err, next)
			}
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	l.Finish()
}

// TestJournalToolsTakeBoundedMemory runs every tool on a journal of a million records and on one of a tenth of that: the
// memory that they have at most does not grow with the journal.
func TestJournalToolsTakeBoundedMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("a journal of a million records takes seconds")
	}
	base := memoryDir(t)
	small, big := filepath.Join(base, "small"), filepath.Join(base, "big")
	bigJournal(t, small, 100_000)
	last := bigJournal(t, big, 1_000_000)
	middle := fmt.Sprint("seq:", last.Sequence/2)
	for _, tool := range []string{"verify DIR", "stat DIR", "dump DIR --session 101 --kind message",
		"find DIR --session 101 --order 777",
		"find DIR --sequence 77777", "tail DIR", "snapshots DIR", "diff DIR DIR", "replay DIR --to " + middle,
		"archive --from DIR --to DIR.archive", "archive --from DIR --to DIR.archive --check", "verify DIR.archive",
		"restore --from DIR.archive --to DIR.restored --node 1"} {
		peak := func(dir string) (kib int64, took time.Duration) {
			args := strings.Fields("journal " + strings.ReplaceAll(tool, "DIR", dir))
			cmd := exec.Command("/proc/self/exe", args...)
			cmd.Env = append(os.Environ(), asLockstep+"=1", tellsPeak+"=1")
			var errs bytes.Buffer
			cmd.Stderr = &errs
			started := time.Now()
			if err := cmd.Run(); err != nil {
				t.Fatalf("%s: %v\n%s", tool, err, errs.String())
			}
			took = time.Since(started)
			_, tail, _ := strings.Cut(errs.String(), "VmHWM:")
			if _, err := fmt.Sscan(tail, &kib); err != nil {
				t.Fatalf("%s: no peak in %q", tool, errs.String())
			}
			return kib, took
		}
		few, _ := peak(small)
		many, took := peak(big)
		t.Logf("%-60s %5d KiB, ten times the records: %5d KiB, %v", tool, few, many, took.Round(time.Millisecond))
		grows := int64(16 << 10)
		if strings.HasPrefix(tool, "replay") {
			grows = 64 << 10 // the services' state, which their limits bound, is filled by a log of either size
		}
		if many > few+grows {
			t.Errorf("%s takes %d KiB, and %d KiB for ten times the records", tool, few, many)
		}
	}
}

// memoryDir is a new directory in memory where there is room, else on disk; removed at the end.
func memoryDir(t *testing.T) string {
	t.Helper()
	if free, err := (vfs.Real{}).Free("/dev/shm"); err != nil || free < 4<<30 {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "lockstep-journal-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func bigJournal(t *testing.T, dir string, records int) wire.Chain {
	t.Helper()
	l := journaltest.New(t, vfs.Real{}, dir, journal.Identity{Cluster: 7, Node: 1, Incarnation: 11, Run: 1}, 16<<20)
	l.Lead(1)
	l.Config(1)
	l.Flow(4, records, 9)
	l.Finish()
	commit(t, dir, l.Chain.Position)
	return l.Chain
}
