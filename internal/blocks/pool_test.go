package blocks

import "testing"

// TestSizes holds every length to a size that is no more than half as long again.
func TestSizes(t *testing.T) {
	for n := 0; n <= Largest; n++ {
		c := class(n)
		if s := size(c); s < n || s > Smallest && 2*s > 3*n {
			t.Fatalf("%d bytes: a block of %d", n, s)
		}
		if c > 0 && size(c-1) >= n {
			t.Fatalf("%d bytes fit into %d", n, size(c-1))
		}
		if class(size(c)) != c {
			t.Fatalf("a block of %d is kept with those of %d", size(c), size(class(size(c))))
		}
	}
	if size(classes-1) != Largest {
		t.Errorf("the longest block has %d bytes", size(classes-1))
	}
}

func TestPoolGivesOutWhatItWasGiven(t *testing.T) {
	p := Pool{Keep: 100}
	a, b := p.Take(40), p.Take(33)
	if len(a) != 40 || cap(a) != 48 || len(b) != 33 {
		t.Fatalf("%d of %d bytes, %d", len(a), cap(a), len(b))
	}
	p.Give(a)
	p.Give(b)
	if c := p.Take(48); &c[0] != &b[0] {
		t.Error("not the block given back last")
	}
	if !p.Holds(a, 34) || p.Holds(a, 32) || p.Holds(a, 49) {
		t.Error("a block of 48 bytes is for 33 to 48")
	}
	if p.Give(make([]byte, 96)); p.kept > 100 {
		t.Errorf("%d bytes kept", p.kept)
	}
}

func TestPoolDoesNotAllocate(t *testing.T) {
	p := Pool{Keep: 1 << 20}
	held := make([][]byte, 64)
	at := 0
	step := func() {
		at++
		i := at % len(held)
		p.Give(held[i])
		held[i] = p.Take(at * 7919 % 4000)
	}
	for range 100000 {
		step()
	}
	if n := testing.AllocsPerRun(20000, step); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
