package queue

import (
	"errors"
	"fmt"
)

// Bounds of what one request may ask for, whatever the options.
const (
	MaxName  = 128 // bytes of a queue's name
	MaxKey   = 128 // bytes of a dedup key
	MaxBatch = 64  // messages of one response, and names of one

	MaxTimeMs  = 366 * 24 * 3600 * 1000 // of a delay, a deadline, a dedup window
	MaxLeaseMs = 7 * 24 * 3600 * 1000   // of a lease, and of waiting for a message
)

// What a queue does that was not configured.
const (
	DefaultLeaseMs = 30_000
	DefaultDedupMs = 300_000
)

// blockBytes is what payloads are kept in.
const blockBytes = 256

// Options are the limits of the service. They change what is answered, so they must be the same on every node. Zero
// fields take the default.
type Options struct {
	Queues   int // at once; default 1024
	Messages int // of all queues together; default 65536
	Blocks   int // of 256 bytes, that payloads are kept in, each in blocks of its own; default 262144 (64 MiB)
	Keys     int // dedup keys remembered; default 65536
	Waiters  int // requests that wait for a message; default 1024
	Payload  int // bytes of one message; default and most 32768
}

// ErrOptions says that the options cannot work.
var ErrOptions = errors.New("queue: unusable options")

func (o *Options) defaults() error {
	for _, x := range []struct {
		name  string
		value *int
		usual int
		most  int
	}{
		{"queues", &o.Queues, 1024, 1 << 16},
		{"messages", &o.Messages, 1 << 16, 1 << 24},
		{"blocks", &o.Blocks, 1 << 18, 1 << 24},
		{"keys", &o.Keys, 1 << 16, 1 << 24},
		{"waiters", &o.Waiters, 1024, 4096},
		{"payload", &o.Payload, 32 << 10, 32 << 10},
	} {
		if *x.value == 0 {
			*x.value = x.usual
		}
		if *x.value < 1 || *x.value > x.most {
			return fmt.Errorf("%w: %s %d: must be 1 .. %d", ErrOptions, x.name, *x.value, x.most)
		}
	}
	return nil
}
