package pipeline

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/vfs"
)

// TestRowsSayWhatWasMeasured runs a small plan of every scenario.
func TestRowsSayWhatWasMeasured(t *testing.T) {
	p := Plan{Payload: 200, Batches: []int{1, 20}, Sessions: []int{1, 300}, Journal: []int64{0, 80 << 20}, Orders: []int{1, 7000},
		Measure: 20 * time.Millisecond, Rounds: 2}
	var rows []Row
	if err := Run(&p, func(r *Row) error { rows = append(rows, *r); return nil }); err != nil {
		t.Fatal(err)
	}
	if want := 2 * (1 + 2 + 2 + 2); len(rows) != want {
		t.Fatalf("%d rows, want %d", len(rows), want)
	}
	for i, r := range rows {
		if r.NsPerMsgPerNode <= 0 || r.Sent == 0 || r.CyclesPerMsg <= 0 || r.P50Us <= 0 || r.RatioFirst <= 0 || r.Burst != p.Batches[i%2] {
			t.Errorf("row %d: %+v", i, r)
		}
		if (r.InstructionsPerMsgPerNode == nil) != (r.InstructionsWhy != "") {
			t.Errorf("row %d: instructions %v, why not: %q", i, r.InstructionsPerMsgPerNode, r.InstructionsWhy)
		}
	}
	if rows[0].RatioFirst != 1 || rows[4].Clients != 300 || rows[8].LogBytes < 80<<20 || rows[8].JournalSegments < 2 || rows[12].OpenOrders != 7000 {
		t.Errorf("rows %+v", rows)
	}
	var out bytes.Buffer
	if err := rows[0].Write(&out); err != nil {
		t.Fatal(err)
	}
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"scenario", "nodes", "burst", "payload", "ns_per_msg_per_node", "allocs_per_msg",
		"instructions_per_msg_per_node", "ratio_first"} {
		if _, there := line[field]; !there {
			t.Errorf("no field %s in %s", field, out.String())
		}
	}
}

// TestAMessageTakesTwoCyclesAndNoMemory counts what does not depend on how busy the machine is.
func TestAMessageTakesTwoCyclesAndNoMemory(t *testing.T) {
	for _, batch := range []int{1, 20} {
		l, err := newLoad(&kind{scenario: Batches, payload: 200, sessions: 3})
		if err != nil {
			t.Fatal(err)
		}
		cycles := l.cycles
		const batches = 2000
		allocs := testing.AllocsPerRun(batches, func() {
			if err := l.batch(batch); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%v allocations in a batch of %d", allocs, batch)
		}
		if each := float64(l.cycles-cycles) / (batches + 1); each < 2 || each > 2.2 {
			t.Errorf("%.2f cycles in a batch of %d, want 2", each, batch)
		}
		if err := l.close(); err != nil {
			t.Error(err)
		}
	}
}

func TestTheBookStaysAsFullAsItWas(t *testing.T) {
	const orders = 100
	l, err := newLoad(&kind{scenario: OpenOrders, sessions: 1, orders: orders})
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	for range 50 {
		if err := l.batch(20); err != nil {
			t.Fatal(err)
		}
		if n := len(l.sessions[0].open); n != orders {
			t.Fatalf("%d orders are open, want %d", n, orders)
		}
	}
}

func TestPlanIsChecked(t *testing.T) {
	good := Plan{Batches: []int{1}, Measure: 1, Rounds: 1}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*Plan){
		"no batch":         func(p *Plan) { p.Batches = nil },
		"batch of none":    func(p *Plan) { p.Batches = []int{0} },
		"batch too long":   func(p *Plan) { p.Batches = []int{window + 1} },
		"payload too long": func(p *Plan) { p.Payload = 1301 },
		"no session":       func(p *Plan) { p.Sessions = []int{0} },
		"minus a journal":  func(p *Plan) { p.Journal = []int64{-1} },
		"no order":         func(p *Plan) { p.Orders = []int{0} },
		"no time":          func(p *Plan) { p.Measure = 0 },
		"no round":         func(p *Plan) { p.Rounds = 0 },
	} {
		p := good
		spoil(&p)
		if p.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestACounterCountsWhileItIsTold uses one that every kernel has.
func TestACounterCountsWhileItIsTold(t *testing.T) {
	c, err := openCounter(event{"task clock", unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_TASK_CLOCK})
	if err != nil {
		t.Skip(err)
	}
	defer c.close()
	if n, err := c.read(); n != 0 || err != nil {
		t.Errorf("%d before it was told to count, %v", n, err)
	}
	c.count(true)
	for range 1000 {
		_, _ = c.read()
	}
	c.count(false)
	first, err := c.read()
	if err != nil || first == 0 {
		t.Errorf("counted %d, %v", first, err)
	}
	if again, err := c.read(); again != first || err != nil {
		t.Errorf("%d after it stood, %d before, %v", again, first, err)
	}
}

func TestAVoidKeepsBeginningsAndSizes(t *testing.T) {
	v := newVoid()
	if err := v.MkdirAll("/a/b"); err != nil {
		t.Fatal(err)
	}
	if _, err := v.OpenFile("/a/b/f", vfs.Write); err == nil {
		t.Error("opened a file that is not there")
	}
	f, err := v.OpenFile("/a/b/f", vfs.Create)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Allocate(0, 1<<30); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{10, keptBytes - 2, 1 << 29} {
		if n, err := f.WriteAt([]byte("word"), at); n != 4 || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := v.Rename("/a/b/f", "/a/g"); err != nil {
		t.Fatal(err)
	}
	if f, err = v.OpenFile("/a/g", vfs.ReadOnly); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4)
	for at, want := range map[int64]string{10: "word", keptBytes - 2: "wo\x00\x00", 1 << 29: "\x00\x00\x00\x00"} {
		if n, err := f.ReadAt(b, at); n != 4 || err != nil || string(b) != want {
			t.Errorf("at %d: %q, %d, %v; want %q", at, b, n, err, want)
		}
	}
	if n, err := f.ReadAt(b, 1<<30-1); n != 1 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if size, err := v.Stat("/a/g"); size != 1<<30 || err != nil {
		t.Errorf("size %d, %v", size, err)
	}
}
