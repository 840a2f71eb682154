package system

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep/bench"
	"lockstep/internal/lab"
	"lockstep/internal/testnet"
	"lockstep/service"
	"lockstep/wire"
)

// told is what a client process was told about one message.
type told struct {
	service   uint16
	levels    wire.Levels
	voided    bool
	reached   []wire.Level // in the order they came
	refused   []wire.Refusal
	responses int
}

// talk is a client process under the session test: it is given lines, and what it says is kept.
type talk struct {
	c      *cluster
	stdin  io.WriteCloser
	stderr bytes.Buffer
	done   chan struct{}

	mu       sync.Mutex
	err      error
	messages []told // by correlation, from 1
	acks     []bench.Ack
	numbers  uint64 // responses
	last     uint64 // correlation of the last response
	session  wire.SessionID
	leaders  []wire.NodeID
	term     wire.Term
	closed   int // code; -1: not yet
	outcomes int // messages that were answered as their highest level or for good
}

// talkTo starts a client process on the cluster's network.
func talkTo(c *cluster, cmd *exec.Cmd) *talk {
	c.t.Helper()
	k := &talk{c: c, done: make(chan struct{}), messages: make([]told, 1), closed: -1}
	cmd.Stderr = &k.stderr
	var err error
	k.stdin, err = cmd.StdinPipe()
	c.do(err)
	stdout, err := cmd.StdoutPipe()
	c.do(err)
	c.do(c.lab.StartClient(0, cmd))
	go func() {
		defer close(k.done)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			k.hear(lines.Text())
		}
		if err := cmd.Wait(); err != nil {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.fail(fmt.Errorf("the client ended with %w: %s", err, k.stderr.String()))
		}
	}()
	c.t.Cleanup(func() { _ = k.stdin.Close(); <-k.done })
	return k
}

// fail keeps the first thing that went wrong. Called with mu held.
func (k *talk) fail(err error) {
	if k.err == nil {
		k.err = err
	}
}

// say gives the process a line, and notes the messages that it sends for it.
func (k *talk) say(line string, count int, m told) {
	k.c.t.Helper()
	k.mu.Lock()
	for range count {
		k.messages = append(k.messages, m)
	}
	k.mu.Unlock()
	_, err := fmt.Fprintln(k.stdin, line)
	k.c.do(err)
}

func (k *talk) send(service uint16, count, length int, levels ...wire.Level) {
	k.c.t.Helper()
	set := wire.LevelsOf(levels...)
	k.say(fmt.Sprintf("send %d %d %d %d", service, count, set, length), count, told{service: service, levels: set})
}

// void sends a message that is voided before it is on its way.
func (k *talk) void(length int, levels ...wire.Level) {
	k.c.t.Helper()
	set := wire.LevelsOf(levels...)
	k.say(fmt.Sprintf("void %d %d %d", service.Echo, set, length), 1,
		told{service: service.Echo, levels: set, voided: true})
}

// voidLate sends a message that is voided when it is sequenced: too late.
func (k *talk) voidLate(length int, levels ...wire.Level) {
	k.c.t.Helper()
	set := wire.LevelsOf(levels...)
	k.say(fmt.Sprintf("late %d %d %d", service.Echo, set, length), 1, told{service: service.Echo, levels: set})
}

// hear takes a line of the process.
func (k *talk) hear(line string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	word, rest, _ := strings.Cut(line, " ")
	var err error
	switch word {
	case "connected":
		var leader wire.NodeID
		var session wire.SessionID
		_, err = fmt.Sscan(rest, &session, &k.term, &leader)
		k.leaders = append(k.leaders, leader)
		if k.session != 0 && k.session != session {
			k.fail(fmt.Errorf("the session went on as another: %d, then %d", k.session, session))
		}
		k.session = session
	case "ack":
		err = k.hearAck(rest)
	case "response":
		err = k.hearResponse(rest)
	case "refused":
		var correlation uint64
		var code wire.Refusal
		if _, err = fmt.Sscan(rest, &correlation, (*uint16)(&code)); err == nil {
			m := k.message(correlation)
			m.refused = append(m.refused, code)
			k.outcomes++
		}
	case "closed":
		_, err = fmt.Sscan(rest, &k.closed)
	default:
		err = fmt.Errorf("no such word")
	}
	if err != nil {
		k.fail(fmt.Errorf("the client says %q: %w", line, err))
	}
}

func (k *talk) message(correlation uint64) *told {
	if correlation == 0 || correlation >= uint64(len(k.messages)) {
		k.fail(fmt.Errorf("message %d of %d was answered", correlation, len(k.messages)-1))
		return &told{}
	}
	return &k.messages[correlation]
}

func (k *talk) hearAck(rest string) error {
	var a bench.Ack
	var term wire.Term
	if _, err := fmt.Sscan(rest, &a.Correlation, (*uint8)(&a.Level), &a.Sequence, (*uint64)(&a.Position),
		&term); err != nil {
		return err
	}
	if term < k.term {
		return fmt.Errorf("an acknowledgement of term %d after term %d", term, k.term)
	}
	m := k.message(a.Correlation)
	m.reached = append(m.reached, a.Level)
	if a.Level == highest(m.levels) {
		k.outcomes++
	}
	if a.Level >= wire.LevelDurable { // of a lower level another place may follow, under another leader
		k.acks = append(k.acks, a)
	}
	return nil
}

func (k *talk) hearResponse(rest string) error {
	var number, correlation uint64
	var verdict string
	if _, err := fmt.Sscan(rest, &number, &correlation, &verdict); err != nil {
		return err
	}
	k.message(correlation).responses++
	switch {
	case number != k.numbers+1:
		return fmt.Errorf("after response %d", k.numbers)
	case correlation <= k.last:
		return fmt.Errorf("after the response to message %d", k.last)
	case verdict != "same":
		return fmt.Errorf("not what was sent")
	}
	k.numbers, k.last = number, correlation
	return nil
}

func highest(levels wire.Levels) (top wire.Level) {
	for level := wire.LevelReceived; level <= wire.LevelApplied; level++ {
		if levels.Has(level) {
			top = level
		}
	}
	return top
}

// check fails the test if anything was wrong so far.
func (k *talk) check() {
	k.c.t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		k.c.t.Fatalf("%v\n%s\n%s", k.err, k.stderr.String(), k.c.statuses())
	}
}

// settled waits until all messages that ask for a level, but so many, have reached their highest or were refused.
func (k *talk) settled(but int) {
	k.c.t.Helper()
	n := -but
	for i := range k.messages[1:] {
		if m := &k.messages[i+1]; m.voided || m.levels != 0 {
			n++
		}
	}
	k.c.await(fmt.Sprintf("%d messages are settled", n), func() bool {
		k.check()
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.outcomes >= n
	})
}

// close ends the session, and with it the process.
func (k *talk) close() {
	k.c.t.Helper()
	k.say("close", 0, told{})
	select {
	case <-k.done:
	case <-time.After(patience):
		k.c.t.Fatalf("the client does not end\n%s", k.c.statuses())
	}
	k.check()
	if k.closed != int(wire.RefusalSessionClosed) {
		k.c.t.Errorf("the session was closed for code %d", k.closed)
	}
}

// TestASessionShouldBeTheSameInGoAndInC drives both clients through one session: messages pipelined at every level, some
// of many datagrams, a leader killed in the midst, messages refused and voided, and the end.
func TestASessionShouldBeTheSameInGoAndInC(t *testing.T) {
	needNamespaces(t)
	for _, client := range []struct {
		name    string
		command func(c *cluster) *exec.Cmd
	}{{"go", goDriver}, {"c", cDriver}} {
		t.Run(client.name, func(t *testing.T) {
			if client.name == "c" {
				needCompiler(t)
			}
			c := up(t, lab.Options{Transport: "udp", Clients: 1})
			k := talkTo(c, client.command(c))
			pipeline(k)
			longUnderWeather(k)
			killInTheMidst(k)
			refuseAndVoid(k)
			k.close()
			k.holds()
			k.journalsHold()
		})
	}
}

// every is all levels there are.
var every = []wire.Level{wire.LevelReceived, wire.LevelSequenced, wire.LevelReplicated, wire.LevelDurable,
	wire.LevelApplied}

func pipeline(k *talk) {
	k.send(service.Echo, 300, 100, every...)
	for _, level := range every {
		k.send(service.Echo, 20, 40, level)
	}
	k.send(service.Echo, 50, 0, wire.LevelNone)
	k.send(service.Echo, 1, 1, wire.LevelDurable)
	k.settled(0)
}

// longUnderWeather sends messages of many datagrams, and has the responses come back as such, while datagrams are lost,
// repeated and overtaken.
func longUnderWeather(k *talk) {
	d, err := k.c.lab.Disturb(testnet.Weather{Drop: 0.03, Duplicate: 0.03, Reorder: 0.05, Seed: 1})
	k.c.do(err)
	k.send(service.Echo, 10, wire.MaxMessage, wire.LevelSequenced, wire.LevelApplied)
	k.send(service.Echo, 50, 3000, every...)
	k.send(service.Echo, 500, 100, wire.LevelDurable)
	k.settled(0)
	count, err := d.Stop()
	k.c.do(err)
	if count.Dropped == 0 {
		k.c.t.Error("nothing was lost on the way")
	}
}

// killInTheMidst kills the leader while messages are on their way, and brings it back.
func killInTheMidst(k *talk) {
	c := k.c
	leader := c.leader()
	k.send(service.Echo, 1500, 200, wire.LevelSequenced, wire.LevelApplied)
	k.send(service.Echo, 20, 20000, wire.LevelSequenced, wire.LevelApplied)
	k.send(service.Echo, 1500, 200, wire.LevelSequenced, wire.LevelApplied)
	k.settled(3020 - 500)
	c.do(c.lab.Kill(leader))
	k.send(service.Echo, 300, 60, wire.LevelDurable)
	k.settled(0)
	c.do(c.lab.Start(leader))
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.leaders) < 2 || int(k.leaders[len(k.leaders)-1]) == leader {
		c.t.Errorf("node %d was killed; the session went through the leaders %v", leader, k.leaders)
	}
}

func refuseAndVoid(k *talk) {
	k.send(9, 3, 10, wire.LevelApplied) // no such service
	k.void(100, wire.LevelApplied)
	k.voidLate(100, wire.LevelSequenced, wire.LevelApplied)
	k.send(service.Echo, 10, 10, wire.LevelSequenced, wire.LevelDurable)
	k.settled(0)
}

// holds says whether every message came to what it had to: acknowledged at rising levels, the highest that was asked
// for at last, and answered by one response; or refused, once, and not answered.
func (k *talk) holds() {
	k.c.t.Helper()
	for i := 1; i < len(k.messages); i++ {
		m := &k.messages[i]
		want, responses := []wire.Refusal(nil), 1
		switch {
		case m.voided:
			want, responses = []wire.Refusal{wire.RefusalVoided}, 0
		case m.service != service.Echo:
			want, responses = []wire.Refusal{wire.RefusalUnknownService}, 0
		}
		if fmt.Sprint(m.refused) != fmt.Sprint(want) || m.responses != responses {
			k.c.t.Errorf("message %d was refused for %v and had %d responses", i, m.refused, m.responses)
		}
		last := wire.LevelNone
		for _, level := range m.reached {
			if level <= last || !m.levels.Has(level) {
				k.c.t.Errorf("message %d asked for %v and reached %v", i, m.levels, m.reached)
			}
			last = level
		}
		if want == nil && last != highest(m.levels) {
			k.c.t.Errorf("message %d asked for %v and reached %v", i, m.levels, m.reached)
		}
	}
}

// journalsHold holds what was acknowledged against the journals: each message in a majority's, once, in order.
func (k *talk) journalsHold() {
	c := k.c
	c.t.Helper()
	c.converge()
	var dirs []string
	for _, n := range c.lab.Nodes() {
		c.do(c.lab.Stop(n.ID))
		dirs = append(dirs, n.Dir)
	}
	audit, err := bench.RunAudit(dirs, bench.Told{Session: k.session, Acks: k.acks})
	c.do(err)
	if !audit.Holds() || audit.Messages != uint64(len(k.messages)-1) {
		c.t.Errorf("%d messages were sent; the journals do not hold what was told: %+v", len(k.messages)-1, audit)
	}
}
