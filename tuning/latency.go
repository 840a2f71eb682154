package tuning

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const latencyFile = "dev/cpu_dma_latency"

// HoldLatency asks the kernel for a wake-up latency of 0, which keeps every core out of deep idle states, until what it
// returns is closed or the process ends.
func HoldLatency(h *Host) (io.Closer, error) {
	f, err := os.OpenFile(filepath.Join(h.Root, latencyFile), os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("tuning: hold cores out of deep idle states: %w", err)
	}
	var us [4]byte
	binary.NativeEndian.PutUint32(us[:], 0)
	if _, err := f.Write(us[:]); err != nil {
		return nil, errors.Join(fmt.Errorf("tuning: hold cores out of deep idle states: %w", err), f.Close())
	}
	return f, nil
}
