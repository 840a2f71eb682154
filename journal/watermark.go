package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"sync"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// watermarkSlots is how many slots the watermark file has, a block each, written in turn.
const watermarkSlots = 2

// Watermark is a position below which everything was synced at some time: file "watermark". It trails the syncs and
// tells a torn tail (above it) from damage (below it) at the next start. Its slots are written in turn, so that a power
// cut spoils the newest at most.
//
//	off size     (of each slot)
//	 16    8 how many times the watermark was written: the slot with the higher number counts
//	 24    8 position
//
// The watermark's own thread raises it; the journal thread lowers it for a cut. A lock keeps a raise that was on its
// way from undoing a cut.
type Watermark struct {
	mu       sync.Mutex
	file     vfs.File
	name     string
	block    []byte // aligned
	writes   uint64
	position wire.Position
	known    bool
}

func putWatermark(b []byte, writes uint64, position wire.Position) {
	clear(b[:vfs.BlockBytes])
	binary.LittleEndian.PutUint64(b[16:], writes)
	binary.LittleEndian.PutUint64(b[24:], uint64(position))
	sealBlock(b, magicWatermark)
}

func watermarkBlocks() []byte {
	b := vfs.AlignedBytes(watermarkSlots * vfs.BlockBytes)
	putWatermark(b[vfs.BlockBytes:], 1, 0)
	return b
}

// openWatermark opens the watermark of dir. If no slot is valid the watermark is not known, which is no error here.
func openWatermark(fs vfs.FS, dir string, write bool) (*Watermark, error) {
	w := &Watermark{name: path.Join(dir, "watermark"), block: vfs.AlignedBytes(vfs.BlockBytes)}
	flags := vfs.ReadOnly
	if write {
		flags = vfs.Write
	}
	var err error
	if w.file, err = fs.OpenFile(w.name, flags); err != nil {
		return nil, fmt.Errorf("journal: open watermark: %w", err)
	}
	if write { // what a process that died had written must be on the disk before it is believed
		if err := w.file.Sync(); err != nil {
			return nil, errors.Join(fmt.Errorf("journal: sync %s: %w", w.name, err), w.file.Close())
		}
	}
	for i := range int64(watermarkSlots) {
		if _, err := w.file.ReadAt(w.block, i*vfs.BlockBytes); err != nil {
			continue // a slot that cannot be read is no slot
		}
		if checkBlock(w.block, magicWatermark) != blockValid {
			continue
		}
		if writes := binary.LittleEndian.Uint64(w.block[16:]); !w.known || writes > w.writes {
			w.known, w.writes = true, writes
			w.position = wire.Position(binary.LittleEndian.Uint64(w.block[24:]))
		}
	}
	return w, nil
}

// readWatermark reads the watermark of dir without touching it.
func readWatermark(fs vfs.FS, dir string) (position wire.Position, known bool, err error) {
	w, err := openWatermark(fs, dir, false)
	if err != nil {
		return 0, false, err
	}
	return w.position, w.known, w.close()
}

// Load returns the stored position; known is false when there is none that can be believed. Any thread.
func (w *Watermark) Load() (position wire.Position, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.position, w.known
}

// follow stores what durable holds, if that is news. It is read under the lock, after which no cut can lower it.
func (w *Watermark) follow(durable interface{ Load() uint64 }) (wrote bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	position := wire.Position(durable.Load())
	if w.known && position == w.position {
		return false, nil
	}
	return true, w.write(position)
}

// lower has durable go down to position, and stores that before it returns if the watermark was higher or unknown.
func (w *Watermark) lower(durable interface{ Store(uint64) }, position wire.Position) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	durable.Store(uint64(position))
	if w.known && position >= w.position {
		return nil
	}
	return w.write(position)
}

// raise stores a position if it is higher than the stored one. A watermark that cannot be read stays unknown.
func (w *Watermark) raise(position wire.Position) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.known || position <= w.position {
		return nil
	}
	return w.write(position)
}

// write stores a position in the older slot. The caller holds the lock.
func (w *Watermark) write(position wire.Position) error {
	w.writes++
	offset := int64(w.writes%watermarkSlots) * vfs.BlockBytes
	putWatermark(w.block, w.writes, position)
	if _, err := w.file.WriteAt(w.block, offset); err != nil {
		return fmt.Errorf("journal: write %s at offset %d: %w", w.name, offset, err)
	}
	if err := w.file.Sync(); err != nil {
		return fmt.Errorf("journal: sync %s: %w", w.name, err)
	}
	w.position, w.known = position, true
	return nil
}

func (w *Watermark) close() error { return w.file.Close() }
