package transport

// Sender gathers the datagrams of a duty cycle and submits them together. It acquires frames one by one, so that
// several senders can share a transport without hoarding frames. Owned by the transport's thread; allocates nothing.
type Sender struct {
	transport Transport
	frames    []Frame // frames[:filled] are committed; frames[filled] is open when open is set
	filled    int
	open      bool
}

// NewSender makes a sender that submits by itself whenever batch datagrams have been committed (at least 1), so that
// a long cycle does not hold back what is ready.
func NewSender(t Transport, batch int) *Sender {
	return &Sender{transport: t, frames: make([]Frame, max(batch, 1))}
}

// Next returns a buffer of MaxPayload bytes for the next datagram, to be filled and given to Commit. It returns nil
// when the transmit side is full (which the transport counts): the caller drops the datagram or tries in a later
// cycle. Without a Commit in between it returns the same buffer again.
func (s *Sender) Next() []byte {
	if s.open {
		return s.frames[s.filled].Buf
	}
	if s.filled == len(s.frames) {
		s.Flush()
	}
	if s.transport.Acquire(s.frames[s.filled:s.filled+1]) == 0 {
		if s.filled == 0 {
			return nil
		}
		s.Flush() // gives the transport back what it lacks, if the kernel takes it
		if s.transport.Acquire(s.frames[:1]) == 0 {
			return nil
		}
	}
	s.open = true
	return s.frames[s.filled].Buf
}

// Commit says that the buffer of the last Next holds a datagram of n bytes for to. With n zero nothing is sent and
// the buffer stays the next one. Without a Next before it, it does nothing.
func (s *Sender) Commit(n int, to Addr) {
	if !s.open || n == 0 {
		return
	}
	f := &s.frames[s.filled]
	f.Length, f.To = n, to
	s.filled++
	s.open = false
}

// Flush submits what has been committed, in order, with one Submit; to be called once a duty cycle. With nothing
// committed it pushes on what an earlier Submit left with the kernel.
func (s *Sender) Flush() {
	s.transport.Submit(s.frames[:s.filled])
	if s.open {
		s.frames[0] = s.frames[s.filled]
	}
	s.filled = 0
}
