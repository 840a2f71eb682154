package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep/bench"
	"lockstep/client"
	"lockstep/wire"
)

// TestMain plays a node when it is started as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "node" {
		main()
		return
	}
	os.Exit(m.Run())
}

// freeMembers finds addresses on loopback with a free port behind each.
func freeMembers(t *testing.T, n int) (text string, list []member) {
	t.Helper()
	var all []string
	for len(all) < n {
		first, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer first.Close()
		addr := netip.MustParseAddrPort(first.Addr().String())
		second, err := net.Listen("tcp4", netip.AddrPortFrom(addr.Addr(), addr.Port()+1).String())
		if err != nil {
			continue
		}
		defer second.Close()
		all = append(all, addr.String())
	}
	text = strings.Join(all, ",")
	list, err := parseMembers(text)
	if err != nil {
		t.Fatal(err)
	}
	return text, list
}

// startNodes starts a cluster that ends with the test.
func startNodes(t *testing.T, s *system, fsync bool) []member {
	t.Helper()
	text, members := freeMembers(t, 3)
	dir := t.TempDir()
	for id := 1; id <= len(members); id++ {
		own := filepath.Join(dir, strconv.Itoa(id))
		if err := os.Mkdir(own, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0], "node", "--system", s.name, "--members", text, "--id", strconv.Itoa(id),
			"--dir", own, fmt.Sprintf("--fsync=%t", fsync))
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if t.Failed() {
				t.Logf("member %d: %s", id, out.Bytes())
			}
		})
	}
	return members
}

// TestEverySystemAnswers measures a moment of each: everything is answered, once, and in order.
func TestEverySystemAnswers(t *testing.T) {
	for i := range systems {
		s := &systems[i]
		for _, fsync := range []bool{false, true} {
			if fsync && s.name == "hashicorp-raft-mem" {
				continue
			}
			t.Run(fmt.Sprintf("%s,fsync=%t", s.name, fsync), func(t *testing.T) {
				o := &loadOptions{members: startNodes(t, s, fsync), fsync: fsync, window: 64, payload: 200}
				for _, p := range []bench.Plan{
					{Loop: bench.Closed, Burst: 1},
					{Loop: bench.Open, Rate: 200, Burst: 20},
				} {
					p.Level, p.Flow, p.Payload, p.Window = wire.LevelApplied, bench.FlowEcho, 200, 64
					p.Measure, p.Warmup = 3*time.Second, 100*time.Millisecond // longer than a disk that others use may take
					row, err := measure(t.Context(), s, o, &p)
					if err != nil {
						t.Fatal(err)
					}
					if row.Acked == 0 || row.Lost+row.Duplicated+row.Reordered > 0 || row.P50Us <= 0 || row.System != s.name {
						t.Errorf("%s: %+v", p.Loop, row)
					}
				}
			})
		}
	}
}

// refusing is a library that takes nothing.
type refusing struct{}

func (refusing) leader() int                     { return 1 }
func (refusing) propose([]byte) (pending, error) { return nil, errors.New("no room") }

// TestARefusalEndsTheSession: an answer that is none is no round trip, and the reason is told.
func TestARefusalEndsTheSession(t *testing.T) {
	_, members := freeMembers(t, 1)
	served := make(chan error, 1)
	go func() { served <- (&server{library: refusing{}}).serve(t.Context(), members[0].clients()) }()
	told := 0
	o := &loadOptions{members: members, window: 2, answer: func(client.Ack) { told++ }}
	s, err := dialFrames(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 3 {
		_, err := s.Send(0, 0, 0, []byte("x"))
		if full := errors.Is(err, client.ErrWindow); full != (i == 2) || err != nil && !full {
			t.Fatalf("message %d with a window of 2: %v", i, err)
		}
	}
	for s.Err() == nil {
		s.Poll(0)
	}
	if !strings.Contains(s.Err().Error(), "no room") || told != 0 {
		t.Errorf("%v, and %d answers", s.Err(), told)
	}
	if _, err := s.Send(0, 0, 0, nil); err == nil {
		t.Error("a session that has ended takes messages")
	}
}

func TestFramesComeInPieces(t *testing.T) {
	b := appendAnswer(nil, 7, 9, []byte("hello"))
	for n := range len(b) {
		if frame, rest, err := cutFrame(b[:n], answerHeader); frame != nil || err != nil || len(rest) != n {
			t.Fatalf("%d of %d bytes: %x, %v", n, len(b), frame, err)
		}
	}
	frame, rest, err := cutFrame(append(b, 1, 2), answerHeader)
	if err != nil || !bytes.Equal(frame, b) || len(rest) != 2 {
		t.Errorf("%x, %x, %v", frame, rest, err)
	}
	if _, _, err := cutFrame([]byte{255, 255, 255, 255}, answerHeader); err == nil {
		t.Error("a frame of 4 GiB is taken")
	}
	if _, _, err := readRequest(bytes.NewReader([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})); err == nil {
		t.Error("a request without its header is taken")
	}
}

func TestMailboxTellsEveryAnswerOnce(t *testing.T) {
	var m mailbox
	const posters, each = 8, 1000
	var wg sync.WaitGroup
	for p := range posters {
		wg.Go(func() {
			for i := range each {
				m.post(answer{correlation: uint64(p*each + i)})
			}
		})
	}
	seen, n := map[uint64]bool{}, 0
	for n < posters*each {
		took, err := m.drain(func(a client.Ack) { seen[a.Correlation] = true })
		if err != nil {
			t.Fatal(err)
		}
		n += took
	}
	wg.Wait()
	if len(seen) != posters*each {
		t.Errorf("%d answers told, want %d", len(seen), posters*each)
	}
	m.post(answer{err: errors.New("bad")})
	if _, err := m.drain(func(client.Ack) { t.Error("an error is told as an answer") }); err == nil {
		t.Error("an error is not told")
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		nil, {"fly"}, {"node"}, {"node", "--system", "paxos"}, {"node", "--system", "etcd", "--members", "nowhere"},
		{"node", "--system", "etcd", "--members", "10.0.0.1:7400", "--id", "2", "--dir", "x"}, {"load", "--loop", "square"},
		{"load", "--system", "nats", "--members", "10.0.0.1:0"},
	} {
		if err := run(t.Context(), args); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v", args, err)
		}
	}
}
