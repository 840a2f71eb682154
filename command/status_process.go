package command

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"lockstep/node"
)

// showProcess shows how a node's process is held to its work.
func showProcess(w io.Writer, s *node.Status) error {
	p := &s.Process
	fmt.Fprintf(w, "\nnode %d: %d processors for Go, threads that run for long are preempted %s\n",
		s.Node, p.Processors, p.Preemption)
	fmt.Fprintf(w, "memory: %s; present %d MiB, swapped out %d KiB\n", p.Memory, p.Resident>>20, p.Swapped>>10)
	for _, m := range p.Mapped {
		fmt.Fprintf(w, "  %s: %d KiB in %s\n", m.What, m.Bytes>>10, m.Pages)
	}
	fmt.Fprintf(w, "garbage: %d collections, %d within the last minute, longest pause %s us; heap %d MiB, %d at most\n",
		p.GCCycles, p.GCMinute, microseconds(p.GCPauseNs), p.Heap>>20, p.MemoryLimit>>20)
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "THREAD\tIDLE\tPINNED\tCORES\tGAP_US: SECOND\tMINUTE\tMAX\tSTALLS\t"+
		"MAJOR_FAULTS\tMINOR\tSWITCHES\tTAKEN_OFF")
	for i := range p.Threads {
		t := &p.Threads[i]
		gaps := [4]string{"-", "-", "-", "-"}
		if t.Hot {
			gaps = [4]string{microseconds(t.GapSecond), microseconds(t.GapMinute), microseconds(t.GapMax),
				strconv.FormatUint(t.Stalls, 10)}
		}
		fmt.Fprintf(table, "%s\t%s\t%v\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\n", t.Name, t.Idle, t.Pinned, t.Cores,
			gaps[0], gaps[1], gaps[2], gaps[3], t.MajorFaults, t.MinorFaults, t.Voluntary, t.Involuntary)
	}
	return table.Flush()
}

func microseconds(ns uint64) string { return strconv.FormatFloat(float64(ns)/1e3, 'f', 1, 64) }
