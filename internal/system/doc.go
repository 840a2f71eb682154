// Package system tests Lockstep as its users have it: real processes of the built binary, in network namespaces, over
// real AF_XDP sockets, with real faults.
//
// # Purpose
//
// Its tests bring up clusters (package lab), send load from processes of their own (this package's test binary again,
// see client_test.go), do to the cluster what happens to machines (kill, stop, cut, fill the disk, break the disk) and
// hold what the clients were told against the journals. It has no code of its own but tests.
//
//	test ---- lab: lockstep node x 3, a namespace each
//	  |          ^
//	  |          | AF_XDP or kernel UDP
//	  +---- client process, in a namespace of its own: sends, checks every response, notes every acknowledgement
//	  |
//	  '---- journals on disk: every acknowledged message in a majority's, once, in order, all the same
//
// # Running
//
// `make system` builds the binary and runs them with LOCKSTEP_SYSTEM=1; without that, and where namespaces, AF_XDP or
// loop devices are not to be had, they skip and say why.
//
// # Limits
//
// Nothing here asserts how long something takes; deadlines are generous and only end what hangs.
package system
