package counters

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// File is the counters of this process.
type File struct {
	View
	path       string
	mutex      sync.Mutex // registration
	byName     map[string]*Counter
	histograms []*Histogram
}

// Create makes a file at path with room for capacity counters, in the stead of one that may be there. Without a path
// it is memory of this process only. The path should be on a tmpfs (/dev/shm, /run), which outlives the process but not
// the machine: on a disk the kernel would now and then stop a counting thread to write the page back.
func Create(path string, capacity int) (*File, error) {
	if capacity <= 0 || capacity > maxCapacity {
		return nil, fmt.Errorf("counters: room for %d counters: want 1 to %d", capacity, maxCapacity)
	}
	var mem []byte
	var err error
	if path == "" {
		mem, err = unix.Mmap(-1, 0, fileSize(capacity), unix.PROT_READ|unix.PROT_WRITE,
			unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	} else {
		mem, err = createMapped(path, fileSize(capacity), uint64(capacity))
	}
	if err != nil {
		return nil, fmt.Errorf("counters: create %q: %w", path, err)
	}
	f := &File{path: path, byName: make(map[string]*Counter, capacity)}
	f.lay(mem, capacity)
	f.header.magic, f.header.capacity = magic, uint64(capacity)
	return f, nil
}

// createMapped makes the file and maps it.
func createMapped(path string, size int, capacity uint64) (mem []byte, err error) {
	err = replace(path, func(aside *os.File) (err error) {
		fd := int(aside.Fd())
		if err = unix.Fallocate(fd, 0, 0, int64(size)); err != nil {
			return fmt.Errorf("%d bytes: %w", size, err)
		}
		mem, err = unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
		if err != nil {
			return err
		}
		var v View
		v.lay(mem, int(capacity))
		v.header.magic, v.header.capacity = magic, capacity
		return nil
	})
	if err != nil && mem != nil {
		_ = unix.Munmap(mem)
		return nil, err
	}
	return mem, err
}

// Copy writes the counters as they are now to another file, in the stead of one that may be there.
func (f *File) Copy(path string) error {
	err := replace(path, func(aside *os.File) error {
		_, err := aside.Write(f.mem)
		return err
	})
	if err != nil {
		return fmt.Errorf("counters: copy to %q: %w", path, err)
	}
	return nil
}

// replace makes a file aside, complete, and renames it into place.
func replace(path string, fill func(aside *os.File) error) (err error) {
	aside, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		aside.Close()
		if err != nil {
			os.Remove(aside.Name())
		}
	}()
	if err = fill(aside); err != nil {
		return err
	}
	if err = aside.Chmod(0o644); err != nil {
		return err
	}
	return os.Rename(aside.Name(), path)
}

// Path is where the file is; empty for memory of this process only.
func (f *File) Path() string { return f.path }

// Counter returns the counter of that name, and registers it if it is new: then help, one sentence, says what it
// counts. Names are Prometheus's, labels included, such as lockstep_datagrams_dropped_total{reason="crc"}. At start,
// from any thread that is not pinned.
func (f *File) Counter(name, help string) *Counter {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if c, ok := f.byName[name]; ok {
		return c
	}
	at := f.header.used.Load()
	if at == uint64(len(f.entries)) {
		panic(fmt.Sprintf("counters: no room for %s: the file was made for %d counters", name, at))
	}
	if name == "" || len(name) > maxName {
		panic(fmt.Sprintf("counters: the name %q: want 1 to %d bytes", name, maxName))
	}
	e := &f.entries[at]
	e.nameLength = uint16(copy(e.name[:], name))
	e.helpLength = uint16(copy(e.help[:], help))
	c := &f.values[at]
	f.byName[name] = c
	f.header.used.Store(at + 1)
	return c
}

// Error notes an error in the log of distinct errors: the same message again only counts. For what is rare and worth
// a person's attention; what the outside world can cause at will belongs in a counter. Any thread, pinned or not.
func (f *File) Error(wallNs int64, message string) {
	if len(message) > maxMessage {
		message = message[:maxMessage]
	}
	hash := hashOf(message)
	for i := range f.errors {
		e := &f.errors[i]
		seen := e.hash.Load()
		if seen == 0 {
			if e.hash.CompareAndSwap(0, hash) {
				e.firstNs.Store(wallNs)
				e.lastNs.Store(wallNs)
				e.length = uint32(copy(e.message[:], message))
				e.count.Add(1)
				e.ready.Store(1)
				return
			}
			seen = e.hash.Load()
		}
		if seen == hash {
			e.lastNs.Store(wallNs)
			e.count.Add(1)
			return
		}
	}
	f.header.lost.Add(1)
}

// hashOf is FNV-1a, with 0 kept free.
func hashOf(message string) uint64 {
	hash := uint64(14695981039346656037)
	for i := range len(message) {
		hash = (hash ^ uint64(message[i])) * 1099511628211
	}
	return max(hash, 1)
}
