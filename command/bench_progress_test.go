package command

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/bench"
)

// The line says what is measured, how far it is, and how fast that went since it was last written; it fits the terminal, and is gone
// before anything else is said.
func TestProgressLine(t *testing.T) {
	var screen strings.Builder
	width := 80
	p := &liveLine{w: &screen, width: func() int { return width }}
	p.draw(time.Now())
	if screen.Len() > 0 {
		t.Fatalf("%q before there is anything to say", screen.String())
	}
	p.begin(6*time.Second, "rtt, %s loop", "open")
	began := p.began
	shows := func(want string) {
		t.Helper()
		if got := screen.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		screen.Reset()
	}
	p.draw(began.Add(time.Second))
	shows(eraseLine + "rtt, open loop: 1 s of 6")
	p.set(bench.ProgressReport{Sent: 500, Acked: 400}) // of a phase before: no part of how fast it is
	p.draw(p.at)
	screen.Reset()
	p.set(bench.ProgressReport{Sent: 1410, Acked: 1400})
	p.at = began.Add(time.Second)
	p.draw(began.Add(3 * time.Second))
	shows(eraseLine + "rtt, open loop: 3 s of 6, 1400 answered, 500/s, 10 under way")
	fmt.Fprintln(p.above(&screen), "a row")
	shows(eraseLine + "a row\n")
	fmt.Fprintln(p.above(&screen), "another")
	shows("another\n")
	width = 12
	p.draw(began.Add(4 * time.Second))
	shows(eraseLine + "rtt, open l")
	p.begin(0, "floor")
	p.draw(p.began)
	shows(eraseLine + "floor: 0 s")
}

// What a child says of how far it is goes to the line, whatever pieces it comes in; the rest is passed on as it is.
func TestProgressOfAChild(t *testing.T) {
	var passed strings.Builder
	p := &liveLine{w: io.Discard}
	w, flush := p.follow(&passed)
	text := "a warning\nprogress {\"sent\":12,\"acked\":7}\nprogress is slow\nprogress {\"phase\":1,\"sent\":20,\"acked\":19}\nlast words"
	for i := range len(text) {
		if _, err := io.WriteString(w, text[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	flush()
	if want := "a warning\nprogress is slow\nlast words"; passed.String() != want {
		t.Errorf("%q was passed on, want %q", passed.String(), want)
	}
	if want := (bench.ProgressReport{Phase: 1, Sent: 20, Acked: 19}); p.newest != want {
		t.Errorf("%+v, want %+v", p.newest, want)
	}
	long := strings.Repeat("x", mostKept+10)
	if _, err := io.WriteString(w, long); err != nil || !strings.HasSuffix(passed.String(), "x") {
		t.Errorf("a line without end is kept: %v", err)
	}
}

// terminal is a new one: what is written to the file is read from the other end.
func terminal(t *testing.T) (screen, file *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminal is to be had: %v", err)
	}
	t.Cleanup(func() { screen.Close() })
	fd := int(screen.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		file, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Skipf("no terminal is to be had: %v", err)
	}
	return screen, file
}

// TestBenchShowsProgress: on a terminal there is a line while something is measured, with what the measuring process has come to,
// and none with --quiet.
func TestBenchShowsProgress(t *testing.T) {
	if testing.Short() {
		t.Skip("clusters of real processes for seconds")
	}
	for _, quiet := range []bool{false, true} {
		screen, file := terminal(t)
		cmd := exec.Command("/proc/self/exe", "bench", "rtt", "--lab", "--nodes", "1", "--transport", "udp", "--dir", t.TempDir(), "--seconds", "0.8",
			"--warmup", "0", fmt.Sprintf("--quiet=%t", quiet))
		cmd.Env = append(os.Environ(), asLockstep+"=1")
		cmd.Stderr = file
		seen := make(chan string)
		go func() {
			b, _ := io.ReadAll(screen) // it ends with an error when the last writer has closed
			seen <- string(b)
		}()
		out, err := cmd.Output()
		file.Close()
		text := <-seen
		if err != nil {
			t.Fatalf("%v: %s%s", err, out, text)
		}
		if said := strings.Contains(text, "rtt") && strings.Contains(text, " answered, "); said == quiet {
			t.Errorf("quiet %t: %q", quiet, text)
		}
		if !strings.Contains(string(out), "rtt ") || strings.Contains(string(out), "\r") {
			t.Errorf("quiet %t: standard output %q", quiet, out)
		}
	}
}
