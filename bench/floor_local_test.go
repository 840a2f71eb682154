package bench

import (
	"context"
	"os"
	"testing"
	"time"

	"lockstep/agent"
	"lockstep/transport"
)

func TestTwoThreadsAnswerOneAnother(t *testing.T) {
	r := SPSCFloor(20 * time.Millisecond)
	for d := 40 * time.Millisecond; r.Acked == 0 && d < time.Minute; d *= 2 { // one of the two got no core
		r = SPSCFloor(d)
	}
	if r.Acked == 0 || r.Lost() != 0 || uint64(r.Histogram.TotalCount()) != r.Acked || r.Histogram.Min() <= 0 {
		t.Errorf("%d sent, %d came back, %d recorded, shortest %d ns", r.Sent, r.Acked, r.Histogram.TotalCount(), r.Histogram.Min())
	}
}

// TestDiskFloorWritesAndLeavesNothing: by one writer and by three.
func TestDiskFloorWritesAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	for _, writers := range []int{1, 3} {
		r, how, err := DiskFloor(dir, 200, writers, 30*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if r.Acked < uint64(writers) || how == "" {
			t.Errorf("%d writers: %d writes, %q", writers, r.Acked, how)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
	if _, _, err := DiskFloor(dir+"/missing", 200, 2, time.Millisecond); err == nil {
		t.Error("a directory that is not there is written to")
	}
}

// TestEchoSendsEveryFrameBackAtOnce, the whole of it, to whoever sent it.
func TestEchoSendsEveryFrameBackAtOnce(t *testing.T) {
	network := transport.NewMemory(transport.MemoryOptions{})
	echo := transport.Addr{IP: [4]byte{10, 0, 0, 1}, Port: 7400}
	at, err := network.Join(echo)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Relay(ctx, RelayEcho, at, echo, transport.Addr{}, nap{}) }()
	for i := byte(1); i <= 2; i++ {
		tr, err := network.Join(transport.Addr{IP: [4]byte{10, 0, 0, 10 + i}, Port: 7600})
		if err != nil {
			t.Fatal(err)
		}
		r, err := FloorLoad(tr, echo, 264, 0, time.Millisecond, 30*time.Millisecond, agent.System{}, nap{})
		if err != nil || r.Acked == 0 || r.Lost() != 0 {
			t.Errorf("%+v, %v", r, err)
		}
		sender, rx := transport.NewSender(tr, 1), make([]transport.Received, 1)
		b := sender.Next()
		b[8], b[99] = fromClient, 77
		sender.Commit(100, echo)
		sender.Flush()
		for limit := time.Now().Add(5 * time.Second); tr.Receive(rx) == 0 && time.Now().Before(limit); {
			nap{}.Idle(0)
		}
		if len(rx[0].Payload) != 100 || rx[0].Payload[99] != 77 {
			t.Errorf("%d bytes came back", len(rx[0].Payload))
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
