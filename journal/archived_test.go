package journal

import (
	"errors"
	"testing"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// TestArchivedIsTheOldPositionOrTheNewOne, whatever step of storing it the power is cut before; rot is noticed.
func TestArchivedIsTheOldPositionOrTheNewOne(t *testing.T) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll("/node"); err != nil {
		t.Fatal(err)
	}
	if at, known, err := LoadArchived(fs, "/node"); at != 0 || known || err != nil {
		t.Fatalf("nothing archived: %d, %v, %v", at, known, err)
	}
	before := wire.Position(0)
	fs.Step = func(op vfs.Op, name string) {
		for _, choose := range []vfs.Choose{vfs.LoseAll, vfs.KeepAll} {
			at, known, err := LoadArchived(fs.Crash(choose), "/node")
			if err != nil || known && at != before && at != before+100 || !known && before > 0 {
				t.Errorf("a power cut before %s of %s: %d, %v, %v", op, name, at, known, err)
			}
		}
	}
	for ; before < 300; before += 100 {
		if err := StoreArchived(fs, "/node", before+100); err != nil {
			t.Fatal(err)
		}
	}
	fs.Step = nil
	if at, known, err := LoadArchived(fs, "/node"); at != 300 || !known || err != nil {
		t.Fatalf("%d, %v, %v", at, known, err)
	}
	if err := fs.Rot("/node/archived", 30, 1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := LoadArchived(fs, "/node"); !errors.Is(err, ErrDamagedFile) {
		t.Errorf("rotten: %v", err)
	}
}
