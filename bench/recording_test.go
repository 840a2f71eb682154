package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/agent"
	"lockstep/bench/recorded"
	"lockstep/transport"
	"lockstep/wire"
)

// recording makes up a file and opens it.
func recording(t *testing.T, o recorded.SampleOptions, speed float64) *Recording {
	t.Helper()
	var b bytes.Buffer
	if err := recorded.Sample(&b, o); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "flow")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := OpenRecording(path, recorded.Options{}, speed)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// measureOn measures a plan from an address of the live node's network.
func (l *live) measureOn(t *testing.T, p *Plan) Row {
	t.Helper()
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	l.clients++
	at := transport.Addr{IP: [4]byte{10, 0, 2, l.clients}, Port: 7600}
	target := l.target
	target.open = func() (transport.Transport, error) { return l.network.Join(at) }
	row, err := Measure(t.Context(), &target, p)
	if err != nil {
		t.Fatal(err)
	}
	return row
}

// An ITCH recording is played without a refusal: instruments are there before its first order.
func TestRecordedFlowIsTakenByTheBook(t *testing.T) {
	l := startLive(t)
	r := recording(t, recorded.SampleOptions{Format: recorded.ITCH, Messages: 20000, Users: 40, Seed: 2}, 0)
	p := Plan{Level: wire.LevelReplicated, Loop: Open, Rate: 20000, Burst: 20, Flow: FlowRecorded, Recording: r, Window: 1024,
		Measure: time.Second}
	row := l.measureOn(t, &p)
	if row.Lost != 0 || row.Rejected != 0 || row.Acked < 10000 || row.Flow != FlowRecorded || row.FlowFile != "flow" {
		t.Errorf("%d sent, %d lost, %d rejected, flow %s %s", row.Sent, row.Lost, row.Rejected, row.Flow, row.FlowFile)
	}
}

// A flow with more open orders than an account may have has room for them, as long as it is played.
func TestRecordedFlowHasRoomForItsOpenOrders(t *testing.T) {
	l := startLive(t)
	var text strings.Builder
	text.WriteString("time,action,order,instrument,side,price,quantity\n")
	for i := range 3000 {
		fmt.Fprintf(&text, "%d,new,%d,X,buy,5.25,1\n", i, i)
	}
	path := filepath.Join(t.TempDir(), "flow.csv")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := OpenRecording(path, recorded.Options{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := Plan{Level: wire.LevelApplied, Loop: Open, Rate: 20000, Burst: 20, Flow: FlowRecorded, Recording: r, Window: 1024,
		Measure: 200 * time.Millisecond}
	if row := l.measureOn(t, &p); row.Sent < 3500 || row.Rejected != 0 || row.Lost != 0 {
		t.Errorf("%d sent, %d rejected, %d lost", row.Sent, row.Rejected, row.Lost)
	}
}

// A refusal of the book is counted, not hidden: a cancel of what has long been canceled.
func TestRefusalsAreCounted(t *testing.T) {
	l := startLive(t)
	path := filepath.Join(t.TempDir(), "flow.csv")
	text := "time,user,action,order,instrument,side,price,quantity\n1,a,new,1,X,buy,5,1\n2,a,cancel,1,,,,\n3,a,cancel,1,,,,\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := OpenRecording(path, recorded.Options{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := Plan{Level: wire.LevelApplied, Loop: Closed, Burst: 1, Flow: FlowRecorded, Recording: r, Window: 16,
		Measure: 100 * time.Millisecond}
	if row := l.measureOn(t, &p); row.Acked < 8 || row.Rejected < row.Acked/4-1 || row.Rejected > row.Acked/4+1 {
		t.Errorf("%d acknowledged, %d rejected: want every fourth", row.Acked, row.Rejected)
	}
}

// Several clients divide the users of a recording among them, also in a process that is only told of it: the book refuses no
// more than when one client plays it all.
func TestRecordedFlowOfSeveralClients(t *testing.T) {
	l := startLive(t)
	r := recording(t, recorded.SampleOptions{Format: recorded.ITCH, Messages: 20000, Users: 40, Seed: 4}, 0)
	told, err := json.Marshal(&Scene{Name: "ramp", Plan: Plan{Level: wire.LevelApplied, Loop: Open, Rate: 500, Burst: 1,
		Flow: FlowRecorded, Recording: r, Window: 64}, Phases: []Phase{{Join: 3, For: 300 * time.Millisecond},
		{Join: 3, For: 300 * time.Millisecond}}})
	if err != nil {
		t.Fatal(err)
	}
	var s Scene
	if err := json.Unmarshal(told, &s); err != nil {
		t.Fatal(err)
	}
	for _, row := range l.play(t, &s) {
		// Sessions are in no step with one another, so orders of one may take what another's recording has executed.
		if whole(t, &row); row.Flow != FlowRecorded || row.FlowFile != "flow" || row.Rejected > row.Acked/4 {
			t.Errorf("%d acknowledged, %d rejected, flow %s %s", row.Acked, row.Rejected, row.Flow, row.FlowFile)
		}
	}
	s.Phases[0].Join = 1020
	at := transport.Addr{IP: [4]byte{10, 0, 3, 1}, Port: 7600}
	s.Target.open = func() (transport.Transport, error) { return l.network.Join(at) }
	few := recording(t, recorded.SampleOptions{Messages: 100, Users: 3}, 0)
	s.Plan.Recording = few
	if _, err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "it has 3 users") {
		t.Errorf("more clients than users: %v", err)
	}
	few.Speed = 1
	if err := s.Check(); err == nil {
		t.Error("several clients play at the speed of the times")
	}
	if err := json.Unmarshal([]byte(`{"Path":"/none"}`), &Recording{}); err == nil {
		t.Error("a recording without a file is taken")
	}
}

// tellTale is a session that answers at once, on a clock that it moves, and notes when it was given what.
type tellTale struct {
	l     *Load
	clock *agent.Virtual
	sent  []int64
}

func (s *tellTale) Send(nowNs int64, _ uint16, _ wire.Levels, _ []byte) (uint64, error) {
	s.sent = append(s.sent, nowNs)
	return uint64(len(s.sent)), nil
}

func (s *tellTale) Poll(int64) int {
	s.clock.Advance(100)
	return 1
}

// With a speed messages leave when the recording says, so many times as fast.
func TestRecordedFlowIsPlayedAtItsTimes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flow.csv")
	text := "time,action,order,instrument,side,price,quantity\n1000000,new,1,X,buy,5,1\n1040000,new,2,X,buy,5,1\n" +
		"1040000,cancel,1,,,,\n1200000,cancel,2,,,,\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := OpenRecording(path, recorded.Options{}, 4)
	if err != nil {
		t.Fatal(err)
	}
	p := Plan{Level: wire.LevelApplied, Loop: Open, Rate: 1, Burst: 1, Flow: FlowRecorded, Recording: r, Window: 16,
		Measure: 100 * time.Microsecond}
	clock := agent.NewVirtual(0, 0)
	l := NewLoad(p.LoadOptions(), clock, agent.Yield{})
	l.o.Drain = 0
	s := &tellTale{l: l, clock: clock}
	result, err := l.Run(s)
	if err != nil {
		t.Fatal(err)
	}
	// The recording takes 200 us, and begins again one mean gap of 50 us later; a fourth of that here.
	want := []int64{0, 10000, 10000, 50000, 50000, 62500, 72500, 72500}
	for i := range s.sent {
		s.sent[i] = s.sent[i] / 500 * 500 // the clock moves by 100 ns
	}
	if !slices.Equal(s.sent, want) || result.Sent != uint64(len(want)) {
		t.Errorf("%d sent, at %v ns, want %v", result.Sent, s.sent, want)
	}
}

func TestRecordingsThatCannotBePlayedAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flow.csv")
	text := "time,action,order,instrument,side,price,quantity\n1,new,1,X,buy,5,1\n1,cancel,1,,,,\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenRecording(path, recorded.Options{}, 1); err == nil || !strings.Contains(err.Error(), "want a rate") {
		t.Errorf("a flow without times is played at them: %v", err)
	}
	for _, speed := range []float64{-1, 1e7} {
		if _, err := OpenRecording(path, recorded.Options{}, speed); err == nil {
			t.Errorf("speed %g is taken", speed)
		}
	}
	r, err := OpenRecording(path, recorded.Options{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	good := Plan{Level: wire.LevelApplied, Loop: Closed, Burst: 1, Flow: FlowRecorded, Recording: r, Window: 16, Measure: time.Second}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	none, other := good, good
	none.Recording, other.Flow = nil, FlowOrders
	for _, p := range []Plan{none, other} {
		if p.Check() == nil {
			t.Errorf("flow %s, a file: %t: is taken", p.Flow, p.Recording != nil)
		}
	}
}
