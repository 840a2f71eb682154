package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CostFigures are the processor time that a measurement took: of each process, and what that is for a million messages.
type CostFigures struct {
	Processes []ProcessCost `json:"processes"`
	Nodes     ProcessCost   `json:"nodes"` // all of them but the client
}

// ProcessCost is the processor time of one process.
type ProcessCost struct {
	Name       string  `json:"name"`
	CPUMs      float64 `json:"cpu_ms"`        // user and system time in the measured time
	IdleMs     float64 `json:"idle_ms"`       // of it, what the process took in as long with its sessions open and no message; 0: not known
	PerMillion float64 `json:"s_per_million"` // seconds for a million answered messages
	Above      float64 `json:"s_per_million_above_idle"`
}

// Add adds a process that took so much time for so many messages.
func (c *CostFigures) Add(name string, cpu time.Duration, messages uint64) {
	c.Processes = append(c.Processes, ProcessCost{Name: name, CPUMs: round(float64(cpu.Nanoseconds()) / 1e6),
		PerMillion: perMillion(cpu.Seconds(), messages), Above: perMillion(cpu.Seconds(), messages)})
}

// SetIdle notes what a process takes without messages.
func (c *CostFigures) SetIdle(name string, idle time.Duration, messages uint64) {
	for i := range c.Processes {
		if p := &c.Processes[i]; p.Name == name {
			p.IdleMs = round(float64(idle.Nanoseconds()) / 1e6)
			p.Above = perMillion((p.CPUMs-p.IdleMs)/1e3, messages)
		}
	}
}

// Sum adds up all processes but the client's.
func (c *CostFigures) Sum() {
	c.Nodes = ProcessCost{Name: "nodes together"}
	for _, p := range c.Processes {
		if p.Name != "client" {
			c.Nodes.CPUMs, c.Nodes.IdleMs = round(c.Nodes.CPUMs+p.CPUMs), round(c.Nodes.IdleMs+p.IdleMs)
			c.Nodes.PerMillion, c.Nodes.Above = round(c.Nodes.PerMillion+p.PerMillion), round(c.Nodes.Above+p.Above)
		}
	}
}

// medianCosts has the medians of each process over rounds; nil unless all rounds have the same processes.
func medianCosts(rows []Row) *CostFigures {
	if rows[0].Cost == nil {
		return nil
	}
	m := &CostFigures{}
	for i, first := range rows[0].Cost.Processes {
		var each [4][]float64
		for k := range rows {
			if rows[k].Cost == nil || len(rows[k].Cost.Processes) != len(rows[0].Cost.Processes) {
				return nil
			}
			p := &rows[k].Cost.Processes[i]
			for n, value := range []float64{p.CPUMs, p.IdleMs, p.PerMillion, p.Above} {
				each[n] = append(each[n], value)
			}
		}
		m.Processes = append(m.Processes, ProcessCost{Name: first.Name, CPUMs: medianOf(each[0]), IdleMs: medianOf(each[1]),
			PerMillion: medianOf(each[2]), Above: medianOf(each[3])})
	}
	m.Sum()
	return m
}

func perMillion(seconds float64, messages uint64) float64 {
	if messages == 0 {
		return 0
	}
	return round(seconds / float64(messages) * 1e6)
}

// clockTick is the unit of times in /proc: USER_HZ, 100 on every architecture that Linux has Go for.
const clockTick = 10 * time.Millisecond

// ProcessCPU is the user and system time that a process of this host has taken so far, to 10 ms: of all its threads, also of those
// that have ended.
func ProcessCPU(pid int) (time.Duration, error) { return processCPU("/proc", pid) }

func processCPU(proc string, pid int) (time.Duration, error) {
	text, err := os.ReadFile(proc + "/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, fmt.Errorf("bench: processor time of process %d: %w", pid, err)
	}
	// The name, in parentheses, may hold anything. Behind it the state is field 3; user and system time are 14 and 15.
	_, rest, _ := strings.Cut(string(text[strings.LastIndexByte(string(text), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("bench: processor time of process %d: its stat has %d fields behind the name", pid, len(fields))
	}
	var ticks time.Duration
	for _, field := range fields[11:13] {
		n, err := strconv.ParseUint(field, 10, 40)
		if err != nil {
			return 0, fmt.Errorf("bench: processor time of process %d: %w", pid, err)
		}
		ticks += time.Duration(n)
	}
	return ticks * clockTick, nil
}

// OwnCPU is the user and system time of this process so far.
func OwnCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
