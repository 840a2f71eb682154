package seats

import (
	"encoding/binary"
	"fmt"
	"io"

	"lockstep/service"
	"lockstep/wire"
)

// Hash implements service.Service.
func (s *Service) Hash() uint64 { return service.Mix(s.hash, s.holds.Hash()) }

// Snapshot implements service.Service: state and holder of every seat, 9 bytes each, then the deadlines.
func (s *Service) Snapshot(w io.Writer) error {
	var b [9]byte
	for _, x := range s.seats[1:] {
		b[0] = x.state
		binary.LittleEndian.PutUint64(b[1:], uint64(x.by))
		if _, err := w.Write(b[:]); err != nil {
			return err
		}
	}
	return s.holds.Snapshot(w)
}

// Restore implements service.Service. It trusts nothing of what it reads.
func (s *Service) Restore(r io.Reader) error {
	var b [9]byte
	heldSeats := 0
	for number := 1; number <= Seats; number++ {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return fmt.Errorf("seat %d: %w", number, err)
		}
		state, by := b[0], wire.SessionID(binary.LittleEndian.Uint64(b[1:]))
		if state > sold || (state == free) != (by == 0) {
			return fmt.Errorf("seat %d: state %d, session %d", number, state, by)
		}
		if state == held {
			heldSeats++
		}
		s.set(number, state, by)
	}
	if err := s.holds.Restore(r); err != nil {
		return err
	}
	for number := 1; number <= Seats; number++ {
		if _, ok := s.holds.Deadline(uint64(number)); ok != (s.seats[number].state == held) {
			return fmt.Errorf("seat %d: held, or with a deadline, but not both", number)
		}
	}
	if heldSeats != s.holds.Len() {
		return fmt.Errorf("%d seats are held, and there are %d deadlines", heldSeats, s.holds.Len())
	}
	return nil
}
