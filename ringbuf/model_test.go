package ringbuf

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// Each ring against a model of slices, on one thread, under random sequences of operations.

func TestModelSPSC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := 1 << rapid.IntRange(0, 4).Draw(t, "log2 of the slots")
		start := rapid.Uint64().Draw(t, "start")
		r := newSPSCAt(make([]int, slots), start)
		var offered, published, peeked []int // values: not published; published and not read; read and not released
		next := 0
		t.Repeat(map[string]func(*rapid.T){
			"offer": func(t *rapid.T) {
				full := len(offered)+len(published)+len(peeked) == slots
				if ok := r.Offer(&next); ok == full {
					t.Fatalf("Offer = %v with %d of %d slots taken", ok, len(offered)+len(published)+len(peeked), slots)
				}
				if !full {
					offered = append(offered, next)
				}
				next++
			},
			"publish": func(*rapid.T) {
				r.Publish()
				published, offered = append(published, offered...), nil
			},
			"free": func(t *rapid.T) {
				if got, want := r.Free(), slots-len(offered)-len(published)-len(peeked); got != want {
					t.Fatalf("Free = %d, want %d", got, want)
				}
			},
			"peek": func(t *rapid.T) {
				v := r.Peek()
				if (v == nil) != (len(published) == 0) {
					t.Fatalf("Peek = %v with %d published", v, len(published))
				}
				if v == nil {
					return
				}
				if *v != published[0] {
					t.Fatalf("Peek = %d, want %d", *v, published[0])
				}
				r.Advance()
				published, peeked = published[1:], append(peeked, *v)
			},
			"release": func(*rapid.T) {
				r.Release()
				peeked = nil
			},
			"poll": func(t *rapid.T) {
				out := make([]int, rapid.IntRange(0, slots+1).Draw(t, "room"))
				n := r.Poll(out)
				if want := min(len(out), len(published)); n != want {
					t.Fatalf("Poll = %d, want %d", n, want)
				}
				for i := range n {
					if out[i] != published[i] {
						t.Fatalf("Poll gave %d, want %d", out[i], published[i])
					}
				}
				published = published[n:]
				if n > 0 {
					peeked = nil
				}
			},
		})
	})
}

func TestModelMessageRing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := 1 << rapid.IntRange(4, 9).Draw(t, "log2 of the size")
		start := rapid.Uint64().Draw(t, "start") &^ 7
		r := newMessageRingAt(make([]byte, size), start)
		var committed, published, held [][]byte
		var views [][]byte // what Next returned, for as long as it is held
		content := byte(0)
		t.Repeat(map[string]func(*rapid.T){
			"claim and commit": func(t *rapid.T) {
				n := rapid.IntRange(0, r.MaxMessage()).Draw(t, "length")
				b := r.Claim(n)
				if b == nil {
					if len(committed)+len(published)+len(held) == 0 {
						t.Fatalf("an empty ring of %d bytes has no room for %d", size, n)
					}
					return
				}
				if len(b) != n || cap(b) != n {
					t.Fatalf("Claim(%d) has length %d and capacity %d", n, len(b), cap(b))
				}
				content++
				for i := range b {
					b[i] = content
				}
				r.Commit()
				committed = append(committed, bytes.Clone(b))
			},
			"claim without commit": func(t *rapid.T) {
				for i, b := 0, r.Claim(rapid.IntRange(0, r.MaxMessage()).Draw(t, "length")); i < len(b); i++ {
					b[i] = 0xcc
				}
			},
			"publish": func(*rapid.T) {
				r.Publish()
				published, committed = append(published, committed...), nil
			},
			"next": func(t *rapid.T) {
				b := r.Next()
				if (b == nil) != (len(published) == 0) {
					t.Fatalf("Next = %v with %d published", b, len(published))
				}
				if b != nil {
					views, held = append(views, b), append(held, published[0])
					published = published[1:]
				}
			},
			"release": func(*rapid.T) {
				r.Release()
				views, held = nil, nil
			},
			"": func(t *rapid.T) {
				for i := range views {
					if !bytes.Equal(views[i], held[i]) {
						t.Fatalf("message %d is %x, was written as %x", i, views[i], held[i])
					}
				}
			},
		})
	})
}

// TestModelLogRing has a writer that stores pieces in any order between append and limit, publishes and cuts, and
// compares every byte between floor and append with the model.
func TestModelLogRing(t *testing.T) {
	const size = 4096
	m, err := MapLog(size)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for name, mapped := range map[string]bool{"heap": false, "mapped": true} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				mem := make([]byte, 2*size)
				if mapped {
					mem = m.Bytes()
				}
				checkLogRing(t, NewLogRing(mem, size, mapped))
			})
		})
	}
}

func checkLogRing(t *rapid.T, r *LogRing) {
	a, b := r.Gate("a"), r.Gate("b")
	start := rapid.Uint64Range(0, 1<<40).Draw(t, "start")
	r.Start(start, start)
	floor, end := start, start
	model := map[uint64]byte{} // every byte last written, by position
	content := byte(0)
	limit := func() uint64 { return min(a.Load(), b.Load()) + r.size }
	write := func(from, until uint64) {
		r.Prepare(until)
		floor = max(floor, until-min(until, r.size))
		content++
		for i := range r.View(from, until) {
			r.View(from, until)[i] = content + byte(i)
			model[from+uint64(i)] = content + byte(i)
		}
		r.Mirror(from, until)
	}
	t.Repeat(map[string]func(*rapid.T){
		"write": func(t *rapid.T) {
			from := rapid.Uint64Range(end, limit()).Draw(t, "from")
			write(from, rapid.Uint64Range(from, limit()).Draw(t, "until"))
		},
		"append": func(t *rapid.T) {
			until := rapid.Uint64Range(end, min(limit(), end+600)).Draw(t, "until")
			write(end, until)
			r.Publish(until)
			end = until
		},
		"read": func(t *rapid.T) {
			a.Store(rapid.Uint64Range(a.Load(), end).Draw(t, "a"))
			b.Store(rapid.Uint64Range(b.Load(), end).Draw(t, "b"))
		},
		"cut": func(t *rapid.T) {
			end = rapid.Uint64Range(start, end).Draw(t, "at")
			r.Reset(end)
			floor = min(floor, end)
			if a.Load() > end || b.Load() > end {
				t.Fatal("a gate is beyond the cut")
			}
		},
		"": func(t *rapid.T) {
			if r.Append() != end || r.Floor() != floor || r.Limit() != limit() {
				t.Fatalf("append, floor, limit = %d, %d, %d, want %d, %d, %d",
					r.Append(), r.Floor(), r.Limit(), end, floor, limit())
			}
			if !r.Fits(limit()) || r.Fits(limit()+1) {
				t.Fatalf("Fits disagrees with the limit %d", limit())
			}
			got := make([]byte, end-floor)
			if !r.Copy(got, floor) {
				t.Fatalf("Copy refuses [%d, %d)", floor, end)
			}
			for i, c := range got {
				if c != model[floor+uint64(i)] {
					t.Fatalf("at %d there is %d, want %d", floor+uint64(i), c, model[floor+uint64(i)])
				}
			}
			if !bytes.Equal(got, r.View(floor, end)) {
				t.Fatal("View and Copy differ")
			}
			if floor > 0 && r.Copy(make([]byte, 1), floor-1) || r.Copy(make([]byte, 1), end) {
				t.Fatal("Copy gives what is not held")
			}
		},
	})
}
