package journal

import (
	"errors"
	"fmt"
	"os"
	"path"

	"lockstep/internal/simbug"
	"lockstep/internal/vfs"
	"lockstep/wire"
)

// WriteClean records that a run ended in order with its log synced up to end. After everything else is synced.
func WriteClean(fs vfs.FS, dir string, run uint32, end wire.Position) error {
	return writeText(fs, dir, "clean", fmt.Sprintf(cleanFormat, run, end))
}

// TakeClean says whether the run before ended in order with the log at end, and removes the marker durably: a run
// has it only once. Before the run is raised and before the first datagram leaves. A damaged marker, or one of
// another run or end, is no marker.
func TakeClean(fs vfs.FS, dir string, run uint32, end wire.Position) (bool, error) {
	body, err := readText(fs, path.Join(dir, "clean"))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil && !errors.Is(err, ErrDamagedFile) {
		return false, err
	}
	var markedRun uint32
	var markedEnd wire.Position
	_, scanErr := fmt.Sscanf(body, cleanFormat, &markedRun, &markedEnd)
	if simbug.On(simbug.LeaveClean) {
		return err == nil && scanErr == nil, nil
	}
	if err := removeDurably(fs, dir, "clean"); err != nil {
		return false, err
	}
	return err == nil && scanErr == nil && markedRun == run &&
		(markedEnd == end || simbug.On(simbug.MarkCleanUnsynced)), nil
}

// MarkRecovering records durably that this node may have forgotten what it promised: until ClearRecovering every start
// is a recovering one, however the run before ended. The cause is for operators.
func MarkRecovering(fs vfs.FS, dir, cause string) error {
	if simbug.On(simbug.ForgetAmnesia) {
		return nil
	}
	if len(cause) > maxText/4 {
		cause = cause[:maxText/4]
	}
	if err := fs.MkdirAll(dir); err != nil {
		return fmt.Errorf("journal: mark %s as recovering: %w", dir, err)
	}
	return writeText(fs, dir, "recovering", fmt.Sprintf(recoveringFormat, cause))
}

// ClearRecovering takes the mark away durably: the cluster has admitted this incarnation again.
func ClearRecovering(fs vfs.FS, dir string) error {
	err := removeDurably(fs, dir, "recovering")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// IsRecovering says whether the mark is there, and why. A mark that cannot be read counts.
func IsRecovering(fs vfs.FS, dir string) (cause string, marked bool, err error) {
	body, err := readText(fs, path.Join(dir, "recovering"))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", false, nil
	case errors.Is(err, ErrDamagedFile):
		return "unknown: the file that says it is damaged", true, nil
	case err != nil:
		return "", false, err
	}
	if _, err := fmt.Sscanf(body, recoveringFormat, &cause); err != nil {
		cause = "unknown"
	}
	return cause, true, nil
}

func removeDurably(fs vfs.FS, dir, name string) error {
	if err := fs.Remove(path.Join(dir, name)); err != nil {
		return fmt.Errorf("journal: remove %s/%s: %w", dir, name, err)
	}
	if err := fs.SyncDir(dir); err != nil {
		return fmt.Errorf("journal: remove %s/%s: %w", dir, name, err)
	}
	return nil
}
