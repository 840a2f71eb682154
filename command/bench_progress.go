package command

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/bench"
)

// progressEvery is how often a line of progress is written, and how often a child says how far it is.
const progressEvery = 250 * time.Millisecond

// progressMark begins the lines in which a child says how far it is.
const progressMark = "progress "

// mostKept is the longest line of a child that is looked at.
const mostKept = 1 << 16

// eraseLine goes to the beginning of a terminal's line and empties it.
const eraseLine = "\r\x1b[K"

// liveLine is a line on a terminal that says what is being measured and how far it is. It is written over and over, and taken away
// before anything else is printed. A nil one says nothing.
type liveLine struct {
	w     io.Writer
	width func() int
	stop  chan struct{}
	ended sync.WaitGroup

	mu     sync.Mutex
	what   string
	began  time.Time
	whole  time.Duration // that it will take; 0: not known
	newest bench.ProgressReport
	drawn  bench.ProgressReport // when the line was last written
	at     time.Time            // that was
	shown  bool
	fresh  bool // nothing was said of how far it is
}

// newLiveLine is one on standard error, or nil where that is no terminal.
func newLiveLine(quiet bool) *liveLine {
	fd := int(os.Stderr.Fd())
	if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); quiet || err != nil {
		return nil
	}
	p := &liveLine{w: os.Stderr, stop: make(chan struct{}), width: func() int {
		if size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ); err == nil && size.Col > 0 {
			return int(size.Col)
		}
		return 80
	}}
	p.ended.Go(p.run)
	return p
}

func (p *liveLine) run() {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			p.mu.Lock()
			p.draw(now)
			p.mu.Unlock()
		case <-p.stop:
			return
		}
	}
}

// close takes the line away for good.
func (p *liveLine) close() {
	if p == nil {
		return
	}
	close(p.stop)
	p.ended.Wait()
	p.erase()
}

// begin says what is done from now on, and how long it will take, 0: that is not known.
func (p *liveLine) begin(whole time.Duration, format string, args ...any) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what, p.whole, p.began = fmt.Sprintf(format, args...), whole, time.Now()
	p.newest, p.fresh = bench.ProgressReport{}, true
}

// set takes how far it is.
func (p *liveLine) set(r bench.ProgressReport) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.newest = r; p.fresh {
		p.drawn, p.at, p.fresh = r, time.Now(), false
	}
}

// draw writes the line.
func (p *liveLine) draw(now time.Time) {
	if p.what == "" {
		return
	}
	line := fmt.Sprintf("%s: %.0f s", p.what, now.Sub(p.began).Seconds())
	if p.whole > 0 {
		line += fmt.Sprintf(" of %.0f", p.whole.Seconds())
	}
	if p.newest.Sent > 0 {
		line += fmt.Sprintf(", %d answered", p.newest.Acked)
		if past := now.Sub(p.at).Seconds(); past > 0 && p.newest.Acked >= p.drawn.Acked {
			line += fmt.Sprintf(", %.0f/s", float64(p.newest.Acked-p.drawn.Acked)/past)
		}
		line += fmt.Sprintf(", %d under way", int64(p.newest.Sent-p.newest.Acked))
	}
	p.drawn, p.at = p.newest, now
	if most := p.width() - 1; len(line) > most {
		line = line[:max(0, most)]
	}
	fmt.Fprint(p.w, eraseLine, line)
	p.shown = true
}

// erase takes the line away until it is written again.
func (p *liveLine) erase() {
	if p.shown {
		fmt.Fprint(p.w, eraseLine)
		p.shown = false
	}
}

// above is a writer of what is to stand above the line.
func (p *liveLine) above(w io.Writer) io.Writer {
	if p == nil {
		return w
	}
	return &aboveLine{p, w}
}

type aboveLine struct {
	p *liveLine
	w io.Writer
}

func (a *aboveLine) Write(b []byte) (int, error) {
	a.p.mu.Lock()
	defer a.p.mu.Unlock()
	a.p.erase()
	return a.w.Write(b)
}

// flags have a child say how far it is.
func (p *liveLine) flags() []string {
	if p == nil {
		return nil
	}
	return []string{"--say-progress"}
}

// follow reads what a child says of how far it is out of its standard error; the rest goes on to w.
func (p *liveLine) follow(w io.Writer) (follower io.Writer, flush func()) {
	if p == nil {
		return w, func() {}
	}
	c := &childProgress{p: p, w: w}
	return c, c.flush
}

// childProgress takes whole lines; what has no end yet is kept.
type childProgress struct {
	p    *liveLine
	w    io.Writer
	rest []byte
}

func (c *childProgress) Write(b []byte) (int, error) {
	c.rest = append(c.rest, b...)
	for len(c.rest) > 0 {
		end := bytes.IndexByte(c.rest, '\n') + 1
		if end == 0 && len(c.rest) < mostKept {
			break
		} else if end == 0 {
			end = len(c.rest)
		}
		var r bench.ProgressReport
		if text, is := bytes.CutPrefix(c.rest[:end], []byte(progressMark)); is && json.Unmarshal(text, &r) == nil {
			c.p.set(r)
		} else if _, err := c.w.Write(c.rest[:end]); err != nil {
			return 0, err
		}
		c.rest = append(c.rest[:0], c.rest[end:]...)
	}
	return len(b), nil
}

// flush passes on what had no end.
func (c *childProgress) flush() {
	_, _ = c.w.Write(c.rest) // to memory
	c.rest = nil
}

// watch has this process' own measurement shown, or said to the parent that follows it; stop ends that.
func (f *benchFlags) watch(ctx context.Context, p *liveLine) (measured *bench.Progress, stop func()) {
	if p == nil && !f.sayProgress {
		return nil, func() {}
	}
	measured = &bench.Progress{}
	ctx, cancel := context.WithCancel(ctx)
	var over sync.WaitGroup
	over.Go(func() {
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			look := measured.Look()
			p.set(look)
			if f.sayProgress {
				text, _ := json.Marshal(look) // numbers
				fmt.Fprintf(os.Stderr, "%s%s\n", progressMark, text)
			}
		}
	})
	return measured, func() { cancel(); over.Wait() }
}
