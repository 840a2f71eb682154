package counters

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ErrFormat is what a file that holds no counters, or those of another version, is refused with.
var ErrFormat = errors.New("not a counters file of this version")

// View reads counters and errors. Any thread.
type View struct {
	mem     []byte
	header  *header
	values  []Counter
	entries []entry
	errors  []errorEntry
}

// ErrorEntry is one distinct error: its message, how often it was seen, and when first and last, in nanoseconds since
// the Unix epoch.
type ErrorEntry struct {
	Message string
	Count   uint64
	FirstNs int64
	LastNs  int64
}

// Open maps the counters of another process, or of one that has ended, for reading. Close it after use.
func Open(path string) (*View, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("counters: %w", err)
	}
	defer file.Close()
	var head [headerSize]byte
	if _, err := file.ReadAt(head[:], 0); err != nil {
		return nil, fmt.Errorf("counters: read %q: %w", path, errors.Join(ErrFormat, err))
	}
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("counters: %q: %w", path, err)
	}
	capacity := binary.NativeEndian.Uint64(head[8:])
	if binary.NativeEndian.Uint64(head[:]) != magic || capacity == 0 || capacity > maxCapacity ||
		info.Size() != int64(fileSize(int(capacity))) {
		return nil, fmt.Errorf("counters: %q: %w", path, ErrFormat)
	}
	mem, err := unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("counters: map %q: %w", path, err)
	}
	v := &View{}
	v.lay(mem, int(capacity))
	return v, nil
}

// Each calls f for every counter, in the order of their registration.
func (v *View) Each(f func(name, help string, value uint64)) {
	used := min(v.header.used.Load(), uint64(len(v.entries)))
	for i := range used {
		e := &v.entries[i]
		name := e.name[:min(int(e.nameLength), maxName)]
		help := e.help[:min(int(e.helpLength), maxHelp)]
		f(string(name), string(help), v.values[i].Load())
	}
}

// Errors returns the distinct errors, in the order in which they first came up.
func (v *View) Errors() []ErrorEntry {
	var out []ErrorEntry
	for i := range v.errors {
		e := &v.errors[i]
		if e.ready.Load() == 0 {
			continue
		}
		out = append(out, ErrorEntry{
			Message: string(e.message[:min(e.length, maxMessage)]),
			Count:   e.count.Load(),
			FirstNs: e.firstNs.Load(),
			LastNs:  e.lastNs.Load(),
		})
	}
	return out
}

// Lost is how many errors there was no entry for.
func (v *View) Lost() uint64 { return v.header.lost.Load() }

// Close unmaps the file. Counters must not be used afterwards. A second Close does nothing.
func (v *View) Close() error {
	if v.mem == nil {
		return nil
	}
	mem := v.mem
	*v = View{}
	if err := unix.Munmap(mem); err != nil {
		return fmt.Errorf("counters: unmap: %w", err)
	}
	return nil
}
