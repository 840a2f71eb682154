package journal

import (
	"errors"
	"fmt"
	"os"
	"path"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// DropBelow removes the segments of the log in dir that lie wholly below position, oldest first, the directory synced
// after each, and returns where the log begins now. It may run on any thread beside the journal and beside readers, one
// at a time: position is a record's end below which the log is never cut, and from where a snapshot leads on. The segment
// that is the first then has a sound header, which says where the log begins; until there is one, more than need be is
// kept.
func DropBelow(fs vfs.FS, dir string, position wire.Position) (floor wire.Position, removed int, err error) {
	list, err := listSegments(fs, dir)
	if err != nil {
		return 0, 0, err
	}
	first := holderOf(list, position)
	for ; first > 0; first-- {
		if floor, err = startOf(fs, dir, list[first]); err != nil {
			return 0, 0, err
		}
		if floor > 0 && floor <= position {
			break
		}
	}
	if first <= 0 {
		floor, err = logFloor(fs, dir)
		return floor, 0, err
	}
	segments := segmentDir(dir)
	for _, s := range list[:first] {
		err := fs.Remove(path.Join(segments, segmentName(s.first)))
		if err == nil || errors.Is(err, os.ErrNotExist) {
			err = fs.SyncDir(segments)
		}
		if err != nil {
			return s.first, removed, fmt.Errorf("journal: drop segment %s: %w", segmentName(s.first), err)
		}
		removed++
	}
	return floor, removed, nil
}

// startOf is where the first record begins in a segment, as its header says; 0 when it is not sound.
func startOf(fs vfs.FS, dir string, s segmentInfo) (wire.Position, error) {
	list, err := inspect(fs, dir, []segmentInfo{s}, 0)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	start, _ := list[0].start()
	return start.Position, nil
}
