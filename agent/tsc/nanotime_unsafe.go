package tsc

import _ "unsafe" // for linkname

// nanotime reads the kernel's monotonic clock. It is a function of the Go runtime that it keeps reachable by linkname for the
// packages that depend on it.
//
//go:linkname nanotime runtime.nanotime
func nanotime() int64
