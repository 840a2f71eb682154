// Package tuning says what a host must look like to be fit for Lockstep.
//
// # Purpose
//
// Check looks at ten things of the host that move the tail of a round trip most, and says of each what it is, what it
// should be, why, and how it is changed. It only reads.
//
// # Thread ownership
//
// Everything here is cold: it runs once at start, or for `lockstep tune check`.
//
// # Failure behaviour
//
// What cannot be read is a finding with state Unknown and the reason, never an error: a container without /sys must
// not keep a node from starting.
//
// # Limits
//
// All files are read below a root folder, / in production, so that every state of every item is tested on a made-up
// tree. Values that only a system call tells (locked memory, clock state) come in through Host.
package tuning
