package journal

import (
	"errors"
	"fmt"
	"os"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

const (
	installName   = "install"
	installFormat = "lockstep install 1\nposition %d\n"
)

// WriteInstall records durably that a snapshot at position comes into the directory from another node, where the log
// here does not reach: the next Open (Options.Install) may drop the log and have it begin there. Before the snapshot is
// published, as one that the log does not reach counts as damage otherwise; without the snapshot it means nothing.
func WriteInstall(fs vfs.FS, dir string, position wire.Position) error {
	return writeText(fs, dir, installName, fmt.Sprintf(installFormat, position))
}

// ReadInstall says whether WriteInstall was called and RemoveInstall was not, and with which position. ErrDamagedFile: the
// file does not pass its checksum; without it a log that does not reach a snapshot counts as damaged, which is safe.
func ReadInstall(fs vfs.FS, dir string) (position wire.Position, asked bool, err error) {
	return readPosition(fs, dir, installName, installFormat)
}

// RemoveInstall takes the record away durably: the log begins at the snapshot, or reaches it.
func RemoveInstall(fs vfs.FS, dir string) error {
	err := removeDurably(fs, dir, installName)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
