package timer

import (
	"errors"
	"fmt"
)

// Bounds of what one request may ask for, whatever the options.
const (
	MaxName    = 128  // bytes of a timer's name
	MaxPayload = 1024 // bytes that come back when a timer fires
	MaxBatch   = 64   // timers of one response

	maxStamp  = 7_258_118_400_000_000_000 // the year 2200
	maxSpanMs = maxStamp / nsPerMs
	nsPerMs   = 1_000_000
)

// Options are the limits of the service. They change what is answered, so they must be the same on every node. Zero
// fields take the default.
type Options struct {
	Timers        int // at once; default 16384, at most 32768
	Subscriptions int // of all sessions together; default 64, at most 256
	// Firings is how often all periodic timers together may fire in a second, each taken for 1000/interval in ms,
	// rounded up; default 50000, at most 1000000. Fewer than 1000 leave no room for an interval of 1 ms.
	Firings int
}

// ErrOptions says that the options cannot work.
var ErrOptions = errors.New("timer: unusable options")

func (o *Options) defaults() error {
	if o.Timers == 0 {
		o.Timers = 1 << 14
	}
	if o.Subscriptions == 0 {
		o.Subscriptions = 64
	}
	if o.Firings == 0 {
		o.Firings = 50_000
	}
	if o.Timers < 1 || o.Timers > 1<<15 || o.Subscriptions < 1 || o.Subscriptions > 256 || o.Firings < 1 ||
		o.Firings > 1_000_000 {
		return fmt.Errorf("%w: %d timers, %d subscriptions, %d firings a second: must be 1 .. 32768, 1 .. 256 and "+
			"1 .. 1000000", ErrOptions, o.Timers, o.Subscriptions, o.Firings)
	}
	return nil
}
