// Package tsc tells monotonic time from the processor's time stamp counter: a reading costs a few nanoseconds, so that
// stages of a message can be stamped on the hot path.
//
// # Purpose
//
// Now is the machine's monotonic clock, read from the counter where that can be trusted and from the kernel's clock
// where it cannot. Time is a line: nanoseconds at an anchor, and a rate. Start draws it, Adjust draws it anew off the hot
// path, about once a second, from where the old one is:
//
//	ns
//	 |                 . '   new line: the kernel clock's rate, and what the old one was off, spread over a second
//	 |           . '*
//	 |     . '      |  Adjust
//	 | '            |
//	 +--------------+-------------- counter
//
// The counter is trusted on amd64 where the processor says that it runs at one rate and through sleep (constant_tsc and
// nonstop_tsc). One that turns out otherwise, by another rate or by a leap, is given up for good, and the kernel's clock is
// read from then on.
//
// # Thread ownership
//
// Now is for any thread, pinned ones too: it takes no lock, allocates nothing and does not enter the kernel. Start, Adjust
// and Keep are cold, for any goroutine.
//
// # Memory ordering
//
// A line is immutable and swapped by one atomic pointer. A reading is not ordered with the loads and stores around it: it
// may be some tens of nanoseconds early. Two readings on two threads, or around an Adjust, can be out of order by as little:
// whoever takes differences clamps them.
//
// # Failure behaviour
//
// Without a counter to trust, or before Start, Now is the kernel's monotonic clock. Describe says which it is, and why.
//
// # Limits
//
// The rate is known to about 20 in a million after Start and better after the first Adjust. Adjust keeps the line within a
// microsecond or so of the kernel's clock, which itself may be slewed.
package tsc
