package journal

import (
	"errors"
	"os"
	"path"

	"lockstep/internal/vfs"
)

// DiskBytes is how many bytes the segment files in dir take. Any thread, beside the journal.
func DiskBytes(fs vfs.FS, dir string) (total int64, err error) {
	list, err := listSegments(fs, dir)
	for i := range list {
		size, err := fs.Stat(path.Join(segmentDir(dir), segmentName(list[i].first)))
		if err != nil && !errors.Is(err, os.ErrNotExist) { // it may go meanwhile
			return 0, err
		}
		total += size
	}
	return total, err
}
