package service

import "lockstep/wire"

// Source gives the driver the bytes of the log that the ring no longer holds: a reader of the journal. It is used
// on the driver's thread only.
type Source interface {
	// ReadRange copies log bytes from position on into buf and returns how many: any number of them, whole records
	// or not; 0 when they are not on disk yet. An error is final.
	ReadRange(from wire.Position, buf []byte) (n int, err error)
}
