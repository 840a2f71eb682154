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
// at a time: position is a record's end below which the log is never cut (at or below the commit position). A segment
// stays as long as the header of the one behind it, which then says where the log begins, is not sound.
func DropBelow(fs vfs.FS, dir string, position wire.Position) (floor wire.Position, removed int, err error) {
	list, err := listSegments(fs, dir)
	if err != nil {
		return 0, 0, err
	}
	for len(list) > 0 {
		pair, err := inspect(fs, dir, append([]segmentInfo(nil), list[:min(2, len(list))]...), 0)
		if err != nil {
			return floor, removed, err
		}
		if len(pair) > 0 && pair[0].state == blockValid {
			floor = pair[0].header.chain.Position
		}
		if len(pair) < 2 || pair[1].state != blockValid || pair[1].header.chain.Position > position ||
			pair[0].end() > position {
			break
		}
		segments := segmentDir(dir)
		err = fs.Remove(path.Join(segments, segmentName(pair[0].first)))
		if err == nil || errors.Is(err, os.ErrNotExist) {
			err = fs.SyncDir(segments)
		}
		if err != nil {
			return floor, removed, fmt.Errorf("journal: drop segment %s: %w", segmentName(pair[0].first), err)
		}
		floor = pair[1].header.chain.Position
		list, removed = list[1:], removed+1
	}
	return floor, removed, nil
}
