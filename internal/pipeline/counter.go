package pipeline

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// event is something that the kernel counts for a thread.
type event struct {
	name   string
	kind   uint32
	config uint64
}

// hardwareInstructions are those that a program retires, its own only.
var hardwareInstructions = event{"hardware counter of instructions", unix.PERF_TYPE_HARDWARE, unix.PERF_COUNT_HW_INSTRUCTIONS}

// counter counts an event of the thread that opened it, in its own code alone, while it is told to.
type counter struct{ fd int }

// openCounter opens a counter that stands. Virtual machines often have none for the hardware's events.
func openCounter(e event) (*counter, error) {
	attr := unix.PerfEventAttr{Type: e.kind, Config: e.config, Size: unix.PERF_ATTR_SIZE_VER1,
		Bits: unix.PerfBitDisabled | unix.PerfBitExcludeKernel | unix.PerfBitExcludeHv}
	fd, err := unix.PerfEventOpen(&attr, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("no %s: perf_event_open: %w", e.name, err)
	}
	return &counter{fd}, nil
}

// count has the counter go on, or stand.
func (c *counter) count(on bool) {
	what := uint(unix.PERF_EVENT_IOC_DISABLE)
	if on {
		what = unix.PERF_EVENT_IOC_ENABLE
	}
	_ = unix.IoctlSetInt(c.fd, what, 0) // an open counter takes both
}

// read is what was counted so far.
func (c *counter) read() (uint64, error) {
	var b [8]byte
	if n, err := unix.Read(c.fd, b[:]); err != nil || n != len(b) {
		return 0, fmt.Errorf("pipeline: read a counter: %d bytes: %w", n, err)
	}
	return binary.NativeEndian.Uint64(b[:]), nil
}

func (c *counter) close() { _ = unix.Close(c.fd) }
