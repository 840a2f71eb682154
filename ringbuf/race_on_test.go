//go:build race

package ringbuf

// raceEnabled: the race detector does not see mapped memory, so tests use the Go heap under it.
const raceEnabled = true
