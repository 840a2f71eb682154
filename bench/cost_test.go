package bench

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Processor time is read of a process whatever its name is.
func TestProcessCPU(t *testing.T) {
	proc := t.TempDir()
	stat := func(text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(proc, "7"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(proc, "7", "stat"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stat("7 (a b) S 9 (x)) R 1 7 7 0 -1 4194304 100 0 0 0 250 31 0 0 20 0 9 0 12345 1000 200\n")
	if cpu, err := processCPU(proc, 7); err != nil || cpu != 2810*time.Millisecond {
		t.Errorf("%v (%v)", cpu, err)
	}
	for _, text := range []string{"", "7 (a) R 1 2 3", "7 (a) R 1 7 7 0 -1 4194304 100 0 0 0 x 31 0 0 20"} {
		if stat(text); true {
			if cpu, err := processCPU(proc, 7); err == nil {
				t.Errorf("%q: %v", text, cpu)
			}
		}
	}
	if _, err := processCPU(proc, 8); err == nil {
		t.Error("a process that is not there has taken time")
	}
	before, err := ProcessCPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for own := OwnCPU(); OwnCPU() < own+30*time.Millisecond; {
	}
	if after, err := ProcessCPU(os.Getpid()); err != nil || after < before+20*time.Millisecond {
		t.Errorf("%v before and %v after 30 ms of work (%v)", before, after, err)
	}
}

func TestCostsPerMillion(t *testing.T) {
	var rows []Row
	for _, ms := range []int64{3000, 4000, 9000} {
		c := &CostFigures{}
		for i, name := range []string{"leader", "follower 2", "client"} {
			c.Add(name, time.Duration(ms*int64(i+1))*time.Millisecond, 500_000)
			c.SetIdle(name, time.Second, 500_000)
		}
		c.Sum()
		rows = append(rows, Row{Cost: c})
	}
	leader := rows[1].Cost.Processes[0]
	if leader.PerMillion != 8 || leader.Above != 6 || leader.CPUMs != 4000 || leader.IdleMs != 1000 {
		t.Errorf("%+v", leader)
	}
	if nodes := rows[1].Cost.Nodes; nodes.PerMillion != 24 || nodes.Above != 20 {
		t.Errorf("nodes together: %+v", nodes)
	}
	m := Median(rows)
	if m.Cost == nil || m.Cost.Processes[0] != leader || m.Cost.Nodes.PerMillion != 24 {
		t.Errorf("median: %+v", m.Cost)
	}
	if rows[0].Cost.Processes[0].PerMillion != 6 {
		t.Error("the median changed a round")
	}
	if perMillion(1, 0) != 0 {
		t.Error("no messages have a cost each")
	}
}
