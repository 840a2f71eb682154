package echo

import (
	"encoding/binary"
	"fmt"
	"io"

	"lockstep/service"
	"lockstep/wire"
)

// Service answers every message with its payload. Its state is the number of messages answered. The zero value is
// ready.
type Service struct{ answered uint64 }

// Name implements service.Service.
func (s *Service) Name() string { return "echo" }

// Apply implements service.Service.
func (s *Service) Apply(ctx *service.Context, r *wire.Record, payload []byte) {
	s.answered++
	ctx.Respond(r.Session, payload)
}

// OnSession implements service.Service.
func (s *Service) OnSession(*service.Context, wire.SessionID, bool) {}

// Hash implements service.Service.
func (s *Service) Hash() uint64 { return service.Mix(0, s.answered) }

// Snapshot writes 8 bytes, little-endian: how many messages were answered.
func (s *Service) Snapshot(w io.Writer) error {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], s.answered)
	if _, err := w.Write(b[:]); err != nil {
		return fmt.Errorf("echo: snapshot: %w", err)
	}
	return nil
}

// Restore implements service.Service.
func (s *Service) Restore(r io.Reader) error {
	var b [8]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return fmt.Errorf("echo: restore: %w", err)
	}
	s.answered = binary.LittleEndian.Uint64(b[:])
	return nil
}
