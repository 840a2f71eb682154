package vfs

import (
	"errors"
	"os"
	"slices"
	"syscall"
	"testing"
)

// TestDirectoriesMoveWhole: a renamed directory takes all that is in it along, and gives its old name free.
func TestDirectoriesMoveWhole(t *testing.T) {
	both(t, func(t *testing.T, fs FS, dir string) {
		old, name := dir+"/7.tmp", dir+"/7"
		if err := fs.MkdirAll(old); err != nil {
			t.Fatal(err)
		}
		f := mustOpen(t, fs, old+"/data", Create)
		write(t, f, "state", 0)
		if err := fs.Remove(old); !errors.Is(err, syscall.ENOTEMPTY) {
			t.Errorf("remove a directory that is not empty: %v", err)
		}
		if err := fs.Rename(old, name); err != nil {
			t.Fatal(err)
		}
		write(t, f, "STATE", 0) // the file is the same
		if got := content(t, fs, name+"/data"); got != "STATE" {
			t.Errorf("the file in the moved directory holds %q", got)
		}
		if _, err := fs.ReadDir(old); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the old name: %v", err)
		}
		if err := fs.MkdirAll(old); err != nil {
			t.Fatal(err)
		}
		if err := fs.Rename(old, name); !errors.Is(err, os.ErrExist) {
			t.Errorf("rename onto a directory: %v", err)
		}
		if err := errors.Join(f.Close(), fs.Remove(name+"/data"), fs.Remove(name), fs.Remove(old)); err != nil {
			t.Errorf("remove both: %v", err)
		}
		if names, err := fs.ReadDir(dir); len(names) != 0 || err != nil {
			t.Errorf("left: %v, %v", names, err)
		}
	})
}

// TestCrashOfAMovedDirectory: what a power cut leaves of a directory that was written and renamed, for each sync that is
// left out. A name belongs to its directory: making the directory's new name durable does not make those in it durable.
func TestCrashOfAMovedDirectory(t *testing.T) {
	for _, test := range []struct {
		syncInside, syncAbove bool
		least, most           []string
	}{
		{false, false, []string{"/d/7.tmp"}, []string{"/d/7", "/d/7/data"}},
		{true, false, []string{"/d/7.tmp", "/d/7.tmp/data"}, []string{"/d/7", "/d/7/data"}},
		{false, true, []string{"/d/7"}, []string{"/d/7", "/d/7/data"}},
		{true, true, []string{"/d/7", "/d/7/data"}, []string{"/d/7", "/d/7/data"}},
	} {
		m := NewMem()
		if err := m.MkdirAll("/d/7.tmp"); err != nil {
			t.Fatal(err)
		}
		mustOpen(t, m, "/d/7.tmp/data", Create).Close()
		var err error
		if test.syncInside {
			err = m.SyncDir("/d/7.tmp")
		}
		err = errors.Join(err, m.Rename("/d/7.tmp", "/d/7"))
		if test.syncAbove {
			err = errors.Join(err, m.SyncDir("/d"))
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := below(t, m.Crash(LoseAll), "/d"); !slices.Equal(got, test.least) {
			t.Errorf("%+v: the least is %v", test, got)
		}
		if got := below(t, m.Crash(KeepAll), "/d"); !slices.Equal(got, test.most) {
			t.Errorf("%+v: the most is %v", test, got)
		}
	}
}

// below lists everything below a directory.
func below(t *testing.T, fs FS, dir string) (list []string) {
	t.Helper()
	names, err := fs.ReadDir(dir)
	if errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		list = append(append(list, dir+"/"+name), below(t, fs, dir+"/"+name)...)
	}
	return list
}
