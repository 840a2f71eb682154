package journal

import (
	"fmt"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

const (
	archivedName   = "archived"
	archivedFormat = "lockstep archived 1\nposition %d\n"
)

// StoreArchived notes durably in dir that an archive holds everything below position: log that is not archived yet may
// be kept longer. Whoever archives writes it, beside a node that runs.
func StoreArchived(fs vfs.FS, dir string, position wire.Position) error {
	return writeText(fs, dir, archivedName, fmt.Sprintf(archivedFormat, position))
}

// LoadArchived reads what StoreArchived noted. known is false when nothing was archived from dir yet. ErrDamagedFile: no
// position can be believed, and the next run of the archiver writes the file anew.
func LoadArchived(fs vfs.FS, dir string) (position wire.Position, known bool, err error) {
	return readPosition(fs, dir, archivedName, archivedFormat)
}
