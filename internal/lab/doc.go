// Package lab runs a cluster of real processes on one machine: to try things on, for the demo, the bench and the system
// tests.
//
// # Purpose
//
// Up formats node directories, writes config files and starts one `lockstep node` process a node: each in a network
// namespace of its own on a bridge (package testnet), or, where that is not allowed, on loopback with kernel UDP. Kill,
// Stop, Start, Cut and Heal do to them what happens to machines. Down takes everything away.
//
// A lab lives in the process that called Up. For one that outlives the command that made it, Launch starts a process of
// its own, the holder, which runs Hold: it serves the lab over HTTP on a socket in a runtime directory, where Attach
// finds it again.
//
//	lockstep lab up    --Launch-->  lockstep lab hold  --Up-->  node 1, node 2, node 3
//	lockstep lab kill  --Attach-->  socket, Hold       --Kill-->  node 2
//
// # Thread ownership
//
// A Lab may be used from any goroutine; its methods lock.
//
// # Failure behaviour
//
// Everything dies with the process that holds the lab, also when that is killed: processes by the parent-death signal,
// namespaces and links because nothing else holds them. Directories below a temporary base are removed by Down; what a
// killed lab leaves is an unused directory, which the next one does not look at. A killed holder leaves its socket as
// well; the next one knows by a lock, which the kernel has released, that it is stale, and removes socket and directory.
package lab
