package node

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tmpfsFolder has the test's nodes keep their counters in a folder of its own on a tmpfs.
func tmpfsFolder(t *testing.T) (folder string) {
	t.Helper()
	if !isTmpfs("/dev/shm") {
		t.Skip("/dev/shm is no tmpfs")
	}
	folder, err := os.MkdirTemp("/dev/shm", "lockstep-test-")
	if err != nil {
		t.Fatal(err)
	}
	usual := memoryFolders
	memoryFolders = []string{folder}
	t.Cleanup(func() {
		memoryFolders = usual
		os.RemoveAll(folder)
	})
	return folder
}

// counting is a node as far as its counters, with one that shows value.
func counting(t *testing.T, dir, file string, value uint64) (n *Node, log *bytes.Buffer) {
	t.Helper()
	log = new(bytes.Buffer)
	n = &Node{machine: Real(), out: log}
	n.config.Dir, n.config.Counters, n.config.Node = dir, file, 1
	for _, step := range []func() error{n.identify, n.openCounters} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	n.durable.Set(value)
	return n, log
}

// formatted is a directory of node 1 of always the same cluster.
func formatted(t *testing.T) string {
	t.Helper()
	machine, dir := Real(), filepath.Join(t.TempDir(), "node")
	if _, err := machine.Format(dir, 1, 7); err != nil {
		t.Fatal(err)
	}
	return dir
}

// wantCounter wants a directory's counters to be found, with this value.
func wantCounter(t *testing.T, dir string, want uint64) {
	t.Helper()
	v, err := OpenCounters(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	got, found := uint64(0), false
	v.Each(func(name, _ string, value uint64) {
		if name == "lockstep_journal_durable_position" {
			got, found = value, true
		}
	})
	if !found || got != want {
		t.Errorf("the counter shows %d (%v), want %d", got, found, want)
	}
}

// wantFiles wants a folder to hold so many files that begin with a name.
func wantFiles(t *testing.T, folder, prefix string, want int) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(folder, prefix+"*"))
	if err != nil || len(found) != want {
		t.Errorf("%s holds %v, want %d of %s*", folder, found, want, prefix)
	}
}

// TestCountersAreInMemoryWhileANodeRuns: no disk can hold it up through them, and they are found in every state.
func TestCountersAreInMemoryWhileANodeRuns(t *testing.T) {
	folder, dir := tmpfsFolder(t), formatted(t)
	n, _ := counting(t, dir, "", 10)
	if filepath.Dir(n.counters.Path()) != folder {
		t.Errorf("they are in %s", n.counters.Path())
	}
	wantCounter(t, dir, 10)
	if err := n.counters.Close(); err != nil { // as a process that is killed
		t.Fatal(err)
	}
	wantCounter(t, dir, 10)

	n, _ = counting(t, dir, "", 20)
	wantFiles(t, folder, "", 1)
	wantCounter(t, dir, 20)
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, folder, "", 0)
	wantCounter(t, dir, 20)

	counting(t, dir, "", 30)
	wantFiles(t, dir, countersFile, 0)
	wantCounter(t, dir, 30)
	DropCounters(dir)
	if _, err := OpenCounters(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after they are dropped: %v", err)
	}
}

// TestCountersBelongToOneDirectory: a copy has none, another one of the same node has its own, and one that is made anew in
// the stead of one that is gone goes on with its place.
func TestCountersBelongToOneDirectory(t *testing.T) {
	folder, dir, other := tmpfsFolder(t), formatted(t), filepath.Join(t.TempDir(), "copy")
	counting(t, dir, "", 10)
	if err := os.CopyFS(other, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCounters(other); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("those of a copy: %v", err)
	}
	counting(t, other, "", 20)
	wantFiles(t, folder, "", 2)
	wantCounter(t, dir, 10)
	wantCounter(t, other, 20)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	machine := Real()
	if _, err := machine.Reseed(dir, 1, 7); err != nil {
		t.Fatal(err)
	}
	counting(t, dir, "", 30)
	wantFiles(t, folder, "", 2)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	wantCounter(t, link, 30)
}

// TestCountersAreInTheDirectoryWithoutATmpfs, and the node says so.
func TestCountersAreInTheDirectoryWithoutATmpfs(t *testing.T) {
	folder, dir := tmpfsFolder(t), formatted(t)
	memoryFolders = []string{filepath.Join(folder, "none"), "/proc"}
	n, log := counting(t, dir, "", 10)
	if n.counters.Path() != filepath.Join(dir, countersFile) || !strings.Contains(log.String(), "no tmpfs takes them") {
		t.Errorf("they are in %s, and the node says %q", n.counters.Path(), log)
	}
	wantCounter(t, dir, 10)
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	wantCounter(t, dir, 10)
}

// TestCountersWhereTheConfigSays: only there, and nobody finds those of an earlier run.
func TestCountersWhereTheConfigSays(t *testing.T) {
	folder, dir := tmpfsFolder(t), formatted(t)
	counting(t, dir, "", 10)
	file := filepath.Join(folder, "mine")
	n, _ := counting(t, dir, file, 20)
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, folder, "mine", 1)
	wantFiles(t, folder, "lockstep-", 0)
	if _, err := OpenCounters(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("those of an earlier run: %v", err)
	}
}

// TestCountersOfAStrangerAreNotBelieved: everybody may write to /dev/shm.
func TestCountersOfAStrangerAreNotBelieved(t *testing.T) {
	tmpfsFolder(t)
	dir := formatted(t)
	n, _ := counting(t, dir, "", 10)
	if err := os.Chown(n.counters.Path(), 4711, -1); err != nil {
		t.Skipf("not root: %v", err)
	}
	if v, err := OpenCounters(dir); err == nil {
		v.Close()
		t.Error("they are read")
	}
}
