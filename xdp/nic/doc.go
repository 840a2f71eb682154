// Package nic changes settings of a network interface for as long as an end point needs them, and takes every change
// back.
//
// # Purpose
//
// Two things are set: where the interface puts the flows that are for us (rules, the flow hash, the number of queues), and how
// long it holds interrupts back for a thread that polls (napi_defer_hard_irqs, gro_flush_timeout). A Keeper writes
// down what there was, in a file, before it changes anything:
//
//	Open      what a dead process left is taken back; Keeper
//	Steer     rules, else the flow hash, else one queue: note in the file, then the ioctl
//	BusyPoll  note in the file, then the write to sysfs
//	Close     everything back, last change first; the file goes
//
// # Thread ownership
//
// Everything is cold and belongs to one goroutine. Open works in the network namespace of the calling thread; what the Keeper
// has open stays there, so Close may run on any thread.
//
// # Failure behaviour
//
// A process that is killed leaves its changes and the file; the next Open with that file takes them back first. A file of an
// earlier boot, or of an interface that is not there any more, says nothing and is removed: the settings went with it.
// What a driver refuses is an error that names the driver and the command that does the same by hand. A change that cannot
// be taken back is an error of Close, and stays in the file.
//
// # Limits
//
// UDP over IPv4. One Keeper an interface. The kernel's ioctls take effect for the whole interface: the flow hash and the number of
// queues change for all its traffic, which rules do not. A driver that chooses itself where a rule goes says so only afterwards: a
// process that dies in that instant leaves the rule.
package nic
