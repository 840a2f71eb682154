package testnet

import (
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is for what is expected to come, on a machine as busy as it may be.
const patience = 2 * time.Minute

// received reads until all is sent and nothing comes for a while after, and returns what came.
func received(t *testing.T, at *net.UDPConn, sent <-chan struct{}) (texts []string) {
	t.Helper()
	buf := make([]byte, 100)
	for quiet := 0; quiet < 3; {
		if err := at.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Error(err)
			return texts
		}
		n, _, err := at.ReadFromUDPAddrPort(buf)
		if err == nil {
			texts, quiet = append(texts, string(buf[:n])), 0
			continue
		}
		select {
		case <-sent:
			quiet++ // a thread that was kept waiting may find its deadline before what has come
		default:
		}
	}
	return texts
}

// roomy gives a receiver a queue that holds all that is sent here, should its thread be kept waiting.
func roomy(t *testing.T, at *net.UDPConn) {
	t.Helper()
	raw, err := at.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	set := func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20) }
	if failed := raw.Control(set); failed != nil || err != nil {
		t.Fatal(failed, err)
	}
}

func TestWeatherDropsRepeatsReordersAndCorrupts(t *testing.T) {
	n := newNet(t, Options{Members: 3})
	from, to, other := listen(t, n.Member(1), ""), listen(t, n.Member(2), ""), listen(t, n.Member(3), "")
	roomy(t, to)
	send(t, from, port(n.Member(2)), "before")
	expect(t, to, "before")
	const sent = 500
	shower := func(w Weather) (WeatherCounts, []string) {
		t.Helper()
		d, err := n.Disturb(w)
		if err != nil {
			t.Fatal(err)
		}
		came := make(chan []string, 1)
		all := make(chan struct{})
		go func() { came <- received(t, to, all) }()
		for i := range sent {
			send(t, from, port(n.Member(2)), fmt.Sprintf("%03d", i))
			if i%10 == 9 {
				time.Sleep(2 * time.Millisecond)
			}
		}
		close(all)
		texts := <-came
		count, err := d.Stop()
		if err != nil {
			t.Fatal(err)
		}
		return count, texts
	}
	if _, texts := shower(Weather{}); len(texts) != sent {
		t.Errorf("fair weather: %d of %d arrived", len(texts), sent)
	}
	if c, texts := shower(Weather{Drop: 0.3}); c.Dropped == 0 || len(texts) != sent-int(c.Dropped) {
		t.Errorf("drop: %d of %d arrived, %+v", len(texts), sent, c)
	}
	if c, texts := shower(Weather{Duplicate: 0.3}); c.Duplicated == 0 || len(texts) != sent+int(c.Duplicated) {
		t.Errorf("duplicate: %d of %d arrived, %+v", len(texts), sent, c)
	}
	if c, texts := shower(Weather{Replay: 0.3}); c.Replayed == 0 || len(texts) != sent+int(c.Replayed) {
		t.Errorf("replay: %d of %d arrived, %+v", len(texts), sent, c)
	}
	c, texts := shower(Weather{Reorder: 0.3})
	late := 0
	for i := 1; i < len(texts); i++ {
		if texts[i] < texts[i-1] {
			late++
		}
	}
	if c.Reordered == 0 || late == 0 || len(texts) != sent {
		t.Errorf("reorder: %d of %d arrived, %d late, %+v", len(texts), sent, late, c)
	}
	c, texts = shower(Weather{Corrupt: 0.3})
	wrong := 0
	for i, text := range texts {
		if text != fmt.Sprintf("%03d", i) {
			wrong++
		}
	}
	if len(texts) != sent || wrong != int(c.Corrupted) || wrong == 0 {
		t.Errorf("corrupt: %d of %d arrived, %d wrong, %+v", len(texts), sent, wrong, c)
	}
	all := make(chan struct{})
	close(all)
	if texts := received(t, other, all); len(texts) > 0 {
		t.Errorf("%d datagrams came to somebody else", len(texts))
	}
	send(t, from, port(n.Member(2)), "after")
	expect(t, to, "after")
}
