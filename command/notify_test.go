package command

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// managerSays collects what a process tells its service manager.
type managerSays struct {
	t      *testing.T
	socket *net.UnixConn
	said   []string
}

// listen makes a service manager's socket, of a process that starts from now on and is to give signs of life.
func listen(t *testing.T, watchdog string) *managerSays {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify") // short: a socket's name is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	name := filepath.Join(dir, "socket")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	t.Setenv("WATCHDOG_USEC", watchdog)
	return &managerSays{t: t, socket: socket}
}

// until reads until something is said that begins so.
func (m *managerSays) until(prefix string) string {
	m.t.Helper()
	b := make([]byte, 4096)
	_ = m.socket.SetReadDeadline(time.Now().Add(30 * time.Second)) // ends what hangs
	for {
		n, err := m.socket.Read(b)
		if err != nil {
			m.t.Fatalf("never said: %q; said %q", prefix, m.said)
		}
		text := string(b[:n])
		m.said = append(m.said, text)
		if strings.HasPrefix(text, prefix) {
			return text
		}
	}
}

// pending reads what has been said so far.
func (m *managerSays) pending() (said []string) {
	b := make([]byte, 4096)
	for {
		_ = m.socket.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		n, err := m.socket.Read(b)
		if err != nil {
			return said
		}
		said = append(said, string(b[:n]))
	}
}

// TestServiceManagerIsTold runs a real node with a made-up service manager: that it serves, what it does, that it lives as
// long as its hot thread does, and that it stops.
func TestServiceManagerIsTold(t *testing.T) {
	if testing.Short() {
		t.Skip("a node that is stuck for seconds")
	}
	release := filepath.Join(t.TempDir(), "release")
	t.Setenv(hasBrittle, "1")
	t.Setenv(brittleHangs, release)
	manager := listen(t, "4000000")
	runtime, dir := upLab(t, "--nodes", "1", "--transport", "udp")
	manager.until("READY=1")
	manager.until("STATUS=leads term ")
	manager.until("WATCHDOG=1")
	manager.until("WATCHDOG=1")

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	lockstep(t, "lab", "exec", "--runtime", runtime, "--", self, "client", "connect", "hang", "--service", "brittle",
		"--levels", "sequenced", "--timeout", "1s").want(t, exitUnknown, "sequenced") // the node does not answer any more
	log := filepath.Join(dir, "node1.log")
	for limit := time.Now().Add(30 * time.Second); !strings.Contains(readLog(t, log), "no duty cycle of node for"); {
		if time.Now().After(limit) { // it says so after half of the four seconds
			t.Fatalf("its thread is stuck, and it does not say so:\n%s", readLog(t, log))
		}
		time.Sleep(50 * time.Millisecond)
	}
	manager.pending() // what was said before it was stuck
	for range 3 {     // each as long as it looks
		time.Sleep(time.Second / 2)
		if said := manager.pending(); slices.Contains(said, "WATCHDOG=1") {
			t.Errorf("its hot thread is stuck, and it says %q", said)
		}
	}
	if err := os.WriteFile(release, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	manager.until("WATCHDOG=1")
	lockstep(t, "lab", "stop", "1", "--runtime", runtime).want(t, 0)
	manager.until("STOPPING=1\nSTATUS=stops")
}

func readLog(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
