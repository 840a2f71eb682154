package counters

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// all is every counter as one text.
func all(v *View) string {
	var lines []string
	v.Each(func(name, help string, value uint64) {
		lines = append(lines, fmt.Sprintf("%s (%s) %d", name, help, value))
	})
	return strings.Join(lines, "; ")
}

func create(t *testing.T, path string, capacity int) *File {
	t.Helper()
	f, err := Create(path, capacity)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func open(t *testing.T, path string) *View {
	t.Helper()
	v, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return v
}

func TestCountersAreReadFromOutsideWhileTheyCount(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counters")
	f := create(t, path, 8)
	v := open(t, path)
	if got := all(v); got != "" {
		t.Errorf("a new file has %s", got)
	}
	crc := f.Counter(`dropped_total{reason="crc"}`, "Datagrams dropped.")
	window := f.Counter("window", "Receive window.")
	crc.Inc()
	crc.Add(41)
	window.Set(7)
	window.Set(5)
	if crc.Load() != 42 || window.Load() != 5 {
		t.Errorf("the writer sees %d and %d", crc.Load(), window.Load())
	}
	want := `dropped_total{reason="crc"} (Datagrams dropped.) 42; window (Receive window.) 5`
	if got := all(v); got != want {
		t.Errorf("a reader sees %s, want %s", got, want)
	}
	if got := all(&f.View); got != want {
		t.Errorf("the writer lists %s, want %s", got, want)
	}
	if again := f.Counter("window", "said otherwise"); again != window {
		t.Error("the same name is another counter")
	}
}

// TestFileOutlivesItsWriterAndIsReplacedWhole: the last values can be read after the end, and a new run neither
// continues nor disturbs who still looks at the old one.
func TestFileOutlivesItsWriterAndIsReplacedWhole(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "counters")
	first, err := Create(path, 8)
	if err != nil {
		t.Fatal(err)
	}
	first.Counter("applying", "Position being applied.").Set(4711)
	first.Error(1, "it broke")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	old := open(t, path)
	create(t, path, 16).Counter("other", "")
	if got := all(old); got != "applying (Position being applied.) 4711" {
		t.Errorf("of the old file one reads %s", got)
	}
	if got := old.Errors(); len(got) != 1 || got[0].Message != "it broke" {
		t.Errorf("of the old file's errors one reads %v", got)
	}
	if got := all(open(t, path)); got != "other () 0" {
		t.Errorf("of the new file one reads %s", got)
	}
	if left, err := os.ReadDir(directory); err != nil || len(left) != 1 {
		t.Errorf("the directory holds %v, %v", left, err)
	}
}

func TestAnonymousCountersNeedNoFile(t *testing.T) {
	f := create(t, "", 2)
	f.Counter("a", "A.").Inc()
	if got := all(&f.View); got != "a (A.) 1" || f.Path() != "" {
		t.Errorf("%s at %q", got, f.Path())
	}
}

func TestOpenRefusesWhatIsNoCountersFile(t *testing.T) {
	directory := t.TempDir()
	good := filepath.Join(directory, "good")
	create(t, good, 4)
	bytes, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(at int, value byte) []byte {
		b := append([]byte(nil), bytes...)
		b[at] = value
		return b
	}
	for name, content := range map[string][]byte{
		"empty": {}, "short": bytes[:100], "cut": bytes[:len(bytes)-1], "long": append(bytes[:len(bytes):len(bytes)], 0),
		"magic": changed(0, 'x'), "no capacity": changed(8, 0), "capacity": changed(8, 5), "huge capacity": changed(15, 1),
	} {
		path := filepath.Join(directory, "bad")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(filepath.Join(directory, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for _, capacity := range []int{-1, 0, maxCapacity + 1} {
		if _, err := Create("", capacity); err == nil {
			t.Errorf("room for %d counters was made", capacity)
		}
	}
	if _, err := Create(filepath.Join(directory, "none", "counters"), 4); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

func TestErrorsAreDistinct(t *testing.T) {
	f := create(t, filepath.Join(t.TempDir(), "counters"), 1)
	f.Error(10, "disk full")
	f.Error(20, "no route")
	f.Error(30, "disk full")
	f.Error(40, strings.Repeat("long ", 100))
	v := open(t, f.Path())
	want := []ErrorEntry{
		{"disk full", 2, 10, 30}, {"no route", 1, 20, 20}, {strings.Repeat("long ", 100)[:maxMessage], 1, 40, 40},
	}
	if got := v.Errors(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for i := range maxErrors {
		f.Error(50, fmt.Sprintf("error %d", i))
	}
	f.Error(60, "disk full")
	got := v.Errors()
	if len(got) != maxErrors || v.Lost() != 3 || got[0].Count != 3 || got[0].LastNs != 60 {
		t.Errorf("%d entries, %d lost, the first %v", len(got), v.Lost(), got[0])
	}
}

func TestManyThreadsAtOnce(t *testing.T) {
	f := create(t, "", 64)
	const threads, rounds = 4, 1000
	var done sync.WaitGroup
	for range threads {
		done.Go(func() {
			for i := range rounds {
				f.Counter(fmt.Sprintf("counter_%d", i%64), "").Inc()
				f.Error(int64(i), fmt.Sprintf("error %d", i%50))
				f.Errors()
			}
		})
	}
	done.Wait()
	total := uint64(0)
	f.Each(func(_, _ string, value uint64) { total += value })
	seen := uint64(0)
	for _, e := range f.Errors() {
		seen += e.Count
	}
	if total != threads*rounds || seen != threads*rounds || len(f.Errors()) != 50 || f.Lost() != 0 {
		t.Errorf("counted %d, errors %d in %d entries, lost %d", total, seen, len(f.Errors()), f.Lost())
	}
}

func TestMisusePanics(t *testing.T) {
	for message, misuse := range map[string]func(f *File){
		"no room for b": func(f *File) { f.Counter("a", ""); f.Counter("b", "") },
		"the name \"\"": func(f *File) { f.Counter("", "") },
		"1 to 160":      func(f *File) { f.Counter(strings.Repeat("n", maxName+1), "") },
	} {
		t.Run(message, func(t *testing.T) {
			defer func() {
				if v := recover(); v == nil || !strings.Contains(v.(string), message) {
					t.Errorf("the panic is %v, want one with %q", v, message)
				}
			}()
			misuse(create(t, "", 1))
		})
	}
}

func TestCountingDoesNotAllocate(t *testing.T) {
	f := create(t, "", 1)
	c := f.Counter("a", "")
	if n := testing.AllocsPerRun(1000, func() {
		c.Inc()
		c.Add(2)
		c.Set(c.Load() + 1)
		f.Error(1, "the same again")
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkInc(b *testing.B) {
	f, err := Create("", 1)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	c := f.Counter("a", "")
	for b.Loop() {
		c.Inc()
	}
}
