package vfs

import (
	"os"
	"path/filepath"
	"testing"
)

// TestLockedLooksWithoutTaking: who asks whether a file is locked does not keep anybody from locking it.
func TestLockedLooksWithoutTaking(t *testing.T) {
	if _, err := os.Stat("/proc/locks"); err != nil {
		t.Skip(err)
	}
	name := filepath.Join(t.TempDir(), "lock")
	if Locked(name) {
		t.Error("a file that is not there is locked")
	}
	held, err := Real{}.Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	if !Locked(name) {
		t.Error("a locked file does not show")
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if Locked(name) {
		t.Error("a lock that was given back shows")
	}
}
