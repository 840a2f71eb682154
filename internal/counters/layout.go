package counters

import "sync/atomic"

// The file, in the machine's own byte order: header, entries, values, errors.
const (
	magic      = 0x314e5543534b434c // "LCKSCUN1"
	headerSize = 128
	maxErrors  = 64
	// maxCapacity bounds what a header may claim.
	maxCapacity = 1 << 16

	maxName    = 160
	maxHelp    = 320
	maxMessage = 232
)

// header is the first thing in the file.
type header struct {
	magic    uint64
	capacity uint64        // counters there is room for
	used     atomic.Uint64 // counters registered; those before it are complete
	lost     atomic.Uint64 // errors for which there was no entry
	_        [headerSize - 32]byte
}

// entry is what a counter is called.
type entry struct {
	nameLength uint16
	helpLength uint16
	name       [maxName]byte
	help       [maxHelp]byte
	_          [512 - 4 - maxName - maxHelp]byte
}

// Counter is a number that goes up, or a gauge that is set. It fills a cache line.
type Counter struct {
	value atomic.Uint64
	_     [56]byte
}

// Add adds n. Any thread; best a single one.
func (c *Counter) Add(n uint64) { c.value.Add(n) }

// Inc adds one. Any thread; best a single one.
func (c *Counter) Inc() { c.value.Add(1) }

// Set sets the value: for gauges. One thread.
func (c *Counter) Set(v uint64) { c.value.Store(v) }

// Load returns the value. Any thread.
func (c *Counter) Load() uint64 { return c.value.Load() }

// errorEntry is a distinct error. Whoever wins the hash from 0 owns the text and says when it is ready.
type errorEntry struct {
	hash    atomic.Uint64 // of the message; 0: free
	count   atomic.Uint64
	firstNs atomic.Int64
	lastNs  atomic.Int64
	ready   atomic.Uint32
	length  uint32
	message [maxMessage]byte
}

func fileSize(capacity int) int {
	return headerSize + capacity*(entrySize+counterSize) + maxErrors*errorSize
}
