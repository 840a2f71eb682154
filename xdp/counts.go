package xdp

import "sync/atomic"

// count has one writer and any number of readers.
type count struct{ v atomic.Uint64 }

// add is for the one writer: cheaper than a locked addition.
func (c *count) add(n uint64) { c.v.Store(c.v.Load() + n) }

// set is for the one writer of a state.
func (c *count) set(n uint64) { c.v.Store(n) }

func (c *count) load() uint64 { return c.v.Load() }

// counts are written by the owner's thread, at most once a batch each.
type counts struct {
	received    count
	rejected    [NumRejects]count
	sent        count
	completed   count
	noNeighbour count
	tooLong     count
	full        count
	kicks       count
	kickErrors  [numKickErrors]count
	rxWakeups   count
	audits      count
	lost        count // frames that were sent and had not come back when the socket was made anew
	overdue     count // state, as of the last audit: frames that should have come back long ago
	starved     count // state, as of the last audit: 1 when the kernel has every receive frame, and none in a ring
}

// kickError is what the kernel said to a call that sends.
type kickError uint8

const (
	kickAgain     kickError = iota // EAGAIN: the rest in another call
	kickBusy                       // EBUSY: one frame given up, the rest in another call
	kickNoBuffers                  // ENOBUFS: send buffer used up
	kickNetDown                    // ENETDOWN: the interface is down
	kickOther
	numKickErrors
)

var kickErrorNames = [numKickErrors]string{"again", "busy", "no_buffers", "net_down", "other"}
