package xdp

import "testing"

func newTestUmem(t *testing.T) *umem {
	t.Helper()
	u, err := mapUmem(MinFrameBytes, 64, 64)
	must(t, err)
	t.Cleanup(func() { must(t, u.close()) })
	return u
}

func TestReceivedFrameHasOneOwner(t *testing.T) {
	u := newTestUmem(t)
	if _, ok := u.received(u.address(3)+rxHeadroom, 100); ok {
		t.Error("a frame arrived in memory that the kernel was not given")
	}
	u.owner[3] = OwnerFill
	frame, ok := u.received(u.address(3)+rxHeadroom, MinFrameBytes-rxHeadroom)
	if !ok || frame != 3 {
		t.Fatalf("frame %d, %v", frame, ok)
	}
	if _, ok := u.received(u.address(3)+rxHeadroom, 100); ok {
		t.Error("the same frame arrived twice")
	}
	if !u.refill(3) || u.refill(3) {
		t.Error("a frame must be refilled once")
	}
	for name, addr := range map[string]uint64{
		"transmit frame": u.address(64), "beyond the memory": u.address(128), "far beyond": 1 << 60,
	} {
		if _, ok := u.received(addr, 1); ok {
			t.Errorf("received into %s", name)
		}
	}
	if _, ok := u.received(u.address(3)+rxHeadroom, MinFrameBytes-rxHeadroom+1); ok {
		t.Error("received beyond the end of the frame")
	}
	if !u.conserved() {
		t.Error("frames do not add up")
	}
}

func TestTransmitFrameHasOneOwner(t *testing.T) {
	u := newTestUmem(t)
	seen := make(map[uint32]bool)
	for range 64 {
		frame := u.take()
		if frame < 64 || frame >= 128 || seen[frame] {
			t.Fatalf("took frame %d", frame)
		}
		seen[frame] = true
	}
	if u.completed(u.address(70)) {
		t.Error("a frame came back that was not sent")
	}
	u.sent(70)
	if u.isTaken(70) || u.give(70) {
		t.Error("a frame that is with the kernel can be given back")
	}
	if !u.completed(u.address(70)+headerAt) || u.completed(u.address(70)+headerAt) {
		t.Error("a sent frame must come back once")
	}
	if u.completed(u.address(3)) || u.completed(1<<60) {
		t.Error("a frame came back that is not for sending")
	}
	if !u.give(71) || u.give(71) || u.give(3) {
		t.Error("a taken frame must be given back once")
	}
	if !u.conserved() || u.freeN != 2 {
		t.Errorf("%d free", u.freeN)
	}
}

func TestNeighbourTableFindsWhatWasAdded(t *testing.T) {
	table := newNeighbourTable(1000)
	for i := uint32(1); i <= 1000; i++ {
		table.add(0x0a000000+i, []byte{2, 0, 0, 0, byte(i >> 8), byte(i)}, i%2 == 0)
	}
	for i := uint32(1); i <= 1000; i++ {
		e := table.find(0x0a000000 + i)
		if e == nil || e.mac != [6]byte{2, 0, 0, 0, byte(i >> 8), byte(i)} || e.used.Load() != (i%2 == 0) {
			t.Fatalf("entry %d is %v", i, e)
		}
	}
	if table.count != 1000 || table.find(0x0a000000) != nil || table.find(0) != nil {
		t.Error("the table holds what was not added")
	}
}
