//go:build !amd64

package tsc

// counter is not read where trusted gives a reason.
func counter() uint64 { return 0 }

// trusted says why the counter cannot be used.
func trusted() string { return "no time stamp counter is known on this processor" }
