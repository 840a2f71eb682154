package client

import (
	"bytes"
	"testing"

	"lockstep/wire"
	"pgregory.net/rapid"
)

// Whatever is kept and let go of in whatever order: payloads stay what they were, nothing is kept beyond the limits, and
// a window that is empty takes anything that it may ever hold.
func TestWindowKeepsPayloads(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		limit, most := rapid.IntRange(1, 20).Draw(r, "limit"), rapid.IntRange(1, 3*leastMemory).Draw(r, "bytes")
		w := newWindow(uint32(limit), most)
		kept := map[uint64][]byte{}
		held := func() (n int) {
			for _, p := range kept {
				n += len(p)
			}
			return n
		}
		r.Repeat(map[string]func(*rapid.T){
			"": func(r *rapid.T) {
				for c, want := range kept {
					if m := w.open(c); m == nil || !bytes.Equal(w.payload(m), want) {
						r.Fatalf("message %d is not what was kept", c)
					}
				}
				if len(w.memory) > most {
					r.Fatalf("%d bytes of memory, at most %d", len(w.memory), most)
				}
			},
			"push": func(r *rapid.T) {
				p := make([]byte, rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(0, most)).Draw(r, "length"))
				for i := range p {
					p[i] = byte(w.next) + byte(i)
				}
				c, ok := w.push(0, 1, 0, p)
				switch {
				case ok && (len(kept) == limit || held()+len(p) > most):
					r.Fatalf("%d bytes are kept beside %d in %d messages", len(p), held(), len(kept))
				case !ok && len(p) <= most && len(kept) == 0:
					r.Fatalf("an empty window does not take %d bytes of %d", len(p), most)
				case ok:
					kept[c] = p
				}
			},
			"commit": func(r *rapid.T) {
				until := rapid.Uint64Range(w.oldest, w.next).Draw(r, "until")
				w.commit(until - 1)
				w.advance()
				for c := range kept {
					if c < until {
						delete(kept, c)
					}
				}
			},
		})
	})
}

// Once it has grown, a window allocates nothing.
func TestWindowAllocatesNothing(t *testing.T) {
	w := newWindow(8, 1<<20)
	payload := make([]byte, wire.MaxMessage)
	turn := func() {
		for range 8 {
			if _, ok := w.push(0, 1, 0, payload); !ok {
				t.Fatal("no room")
			}
		}
		w.commit(w.next - 1)
		w.advance()
	}
	turn()
	if n := testing.AllocsPerRun(100, turn); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
