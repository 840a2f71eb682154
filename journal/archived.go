package journal

import (
	"errors"
	"fmt"
	"os"
	"path"

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
	body, err := readText(fs, path.Join(dir, archivedName))
	if errors.Is(err, os.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	if _, err := fmt.Sscanf(body, archivedFormat, &position); err != nil {
		return 0, false, fmt.Errorf("%w: %s/%s: %w", ErrDamagedFile, dir, archivedName, err)
	}
	return position, true, nil
}
