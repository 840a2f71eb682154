package bench

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"testing"
	"time"

	"lockstep/transport"
)

// parkable is a transport of the in-process network that a crowd can sleep on: it wakes by time.
type parkable struct{ transport.Transport }

// Fds implements transport.Transport.
func (parkable) Fds() []int { return nil }

// A crowd opens its sessions, lives, sends when it is marked, and leaves nothing behind.
func TestCrowdComesAnswersAndGoes(t *testing.T) {
	l := startLive(t)
	target := l.target
	target.open = func() (transport.Transport, error) {
		tr, err := l.network.Join(transport.Addr{IP: [4]byte{10, 0, 0, 9}, Port: 7600})
		return parkable{tr}, err
	}
	in, tell := io.Pipe()
	hear, out := io.Pipe()
	ended := make(chan error, 1)
	o := &Crowd{Target: target, Sessions: 300}
	go func() { ended <- o.Run(t.Context(), in, out); out.Close() }()
	lines := bufio.NewScanner(hear)
	state := func() (s CrowdState) {
		if !lines.Scan() {
			t.Fatalf("the crowd has ended: %v", <-ended)
		}
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	ask := func(what string) CrowdState {
		if _, err := io.WriteString(tell, what+"\n"); err != nil {
			t.Fatal(err)
		}
		return state()
	}
	if s := state(); s.Connected != 300 || s.Joined < 300 || s.LastNs <= 0 || s.PeakPerS < 300 || s.Resident == 0 || s.Error != "" {
		t.Fatalf("opened: %+v", s)
	}
	if s := ask(CrowdMark); s.Joined != 0 {
		t.Errorf("marked: %+v", s)
	}
	var s CrowdState
	for range 500 {
		if s = ask(WatchLook); s.Acked == 300 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if s.Sent != 300 || s.Acked != 300 || s.Wrong != 0 || s.Closed != 0 || s.Connected != 300 {
		t.Errorf("after a message of each: %+v", s)
	}
	tell.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestResidentIsOfTheProcess(t *testing.T) {
	if own := Resident(os.Getpid()); own < 1<<20 {
		t.Errorf("this process has %d bytes", own)
	}
	if none := Resident(-1); none != 0 {
		t.Errorf("no process has %d bytes", none)
	}
}
