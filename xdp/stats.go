package xdp

import "golang.org/x/sys/unix"

// Stats are counts since Open, and a few states. They may be read from any thread.
type Stats struct {
	Received    uint64             // datagrams
	Rejected    [NumRejects]uint64 // frames that the program took and that were no datagrams
	Sent        uint64             // datagrams given to the kernel
	Completed   uint64             // frames that came back from sending
	NoNeighbour uint64             // not sent: Ethernet address not known
	TooLong     uint64             // not sent: longer than MaxPayload
	Full        uint64             // times that fewer frames were free than wanted
	Kicks       uint64             // system calls to send
	KickErrors  [numKickErrors]uint64
	RxWakeups   uint64 // system calls to receive
	Audits      uint64 // times that all frames were accounted for
	Overdue     uint64 // transmit frames that should have come back long ago, as of the last audit
	Lost        uint64 // transmit frames that had not come back when the socket was made anew
	Rebuilds    uint64 // times that the socket was made anew
	Rebuilding  bool   // it is being made anew now

	// What the kernel counts on the socket (XDP_STATISTICS).
	RxDropped     uint64 // for another reason, such as too long for a frame
	RxInvalid     uint64 // invalid descriptors in the fill ring: a bug
	TxInvalid     uint64 // invalid descriptors in the tx ring: a bug
	RxRingFull    uint64 // dropped: the rx ring was full
	RxFillEmpty   uint64 // dropped: no frame to receive into
	TxRingEmpty   uint64 // times that the driver found nothing to send
	Decisions     [NumDecisions]uint64
	LinkUp        bool
	LinkDowns     uint64 // times that the carrier was lost
	Neighbours    int    // Ethernet addresses known
	NetlinkErrors uint64
}

// Stats reads all counters. Cold: one system call.
func (e *Endpoint) Stats() Stats {
	c := &e.counts
	s := Stats{
		Received:      c.received.load(),
		Sent:          c.sent.load(),
		Completed:     c.completed.load(),
		NoNeighbour:   c.noNeighbour.load(),
		TooLong:       c.tooLong.load(),
		Full:          c.full.load(),
		Kicks:         c.kicks.load(),
		RxWakeups:     c.rxWakeups.load(),
		Audits:        c.audits.load(),
		Overdue:       c.overdue.load(),
		Lost:          c.lost.load(),
		Rebuilds:      e.watcher.rebuilds.load(),
		Rebuilding:    e.watcher.rebuilding.load() != 0,
		LinkUp:        e.watcher.linkUp.Load(),
		LinkDowns:     e.watcher.linkDowns.load(),
		Neighbours:    e.neighbours.table.Load().count,
		NetlinkErrors: e.watcher.netlinkErrors.load(),
	}
	for i := range s.Rejected {
		s.Rejected[i] = c.rejected[i].load()
	}
	for i := range s.KickErrors {
		s.KickErrors[i] = c.kickErrors[i].load()
	}
	e.kernelStats(&s)
	return s
}

// kernelStats adds what the kernel counts; after Close there is nothing left to ask.
func (e *Endpoint) kernelStats(s *Stats) {
	e.closing.Lock()
	defer e.closing.Unlock()
	if e.closed {
		return
	}
	s.Decisions = e.program.decisions()
	k := e.former
	k.add(e.fd)
	s.RxDropped, s.RxInvalid, s.TxInvalid = k.Rx_dropped, k.Rx_invalid_descs, k.Tx_invalid_descs
	s.RxRingFull, s.RxFillEmpty, s.TxRingEmpty = k.Rx_ring_full, k.Rx_fill_ring_empty_descs, k.Tx_ring_empty_descs
}

// kernelCounts are what the kernel counts on sockets.
type kernelCounts struct{ unix.XDPStatistics }

// add adds those of one socket, if it has any.
func (k *kernelCounts) add(fd int) {
	s, err := socketStatistics(fd)
	if err != nil {
		return
	}
	k.Rx_dropped += s.Rx_dropped
	k.Rx_invalid_descs += s.Rx_invalid_descs
	k.Tx_invalid_descs += s.Tx_invalid_descs
	k.Rx_ring_full += s.Rx_ring_full
	k.Rx_fill_ring_empty_descs += s.Rx_fill_ring_empty_descs
	k.Tx_ring_empty_descs += s.Tx_ring_empty_descs
}

// Each calls f for every value, with its name and its help text in metrics.
func (s *Stats) Each(f func(name, help string, value uint64)) {
	f("lockstep_xdp_received_total", "Datagrams received through AF_XDP.", s.Received)
	f("lockstep_xdp_sent_total", "Datagrams given to AF_XDP.", s.Sent)
	f("lockstep_xdp_completed_total", "Frames that came back from sending.", s.Completed)
	f("lockstep_xdp_full_total", "Times that fewer transmit frames were free than wanted.", s.Full)
	f("lockstep_xdp_kicks_total", "System calls to send.", s.Kicks)
	f("lockstep_xdp_rx_wakeups_total", "System calls to receive.", s.RxWakeups)
	f("lockstep_xdp_audits_total", "Times that every frame was accounted for.", s.Audits)
	f("lockstep_xdp_overdue_frames", "Transmit frames that should have come back long ago.", s.Overdue)
	f("lockstep_xdp_lost_frames_total", "Transmit frames that had not come back when the socket was made anew.", s.Lost)
	f("lockstep_xdp_rebuilds_total", "Times that the socket was made anew.", s.Rebuilds)
	f("lockstep_xdp_rebuilding", "1 while the socket is being made anew.", boolean(s.Rebuilding))
	const unsent = "Datagrams not sent, by reason."
	f(`lockstep_xdp_unsent_total{reason="no_neighbour"}`, unsent, s.NoNeighbour)
	f(`lockstep_xdp_unsent_total{reason="too_long"}`, unsent, s.TooLong)
	for r := RejectNone + 1; r < NumRejects; r++ {
		f(`lockstep_xdp_rejected_total{reason="`+r.String()+`"}`,
			"Frames that the XDP program took and that were no datagrams, by reason.", s.Rejected[r])
	}
	for i, name := range kickErrorNames {
		f(`lockstep_xdp_kick_errors_total{errno="`+name+`"}`, "Failed system calls to send.", s.KickErrors[i])
	}
	for d := range NumDecisions {
		f(`lockstep_xdp_program_total{decision="`+d.String()+`"}`,
			"Frames by what the XDP program did with them; all but taken went to the kernel.", s.Decisions[d])
	}
	const kernel = "What the kernel counts on the AF_XDP socket."
	f(`lockstep_xdp_kernel_total{what="rx_dropped"}`, kernel, s.RxDropped)
	f(`lockstep_xdp_kernel_total{what="rx_invalid_descs"}`, kernel, s.RxInvalid)
	f(`lockstep_xdp_kernel_total{what="tx_invalid_descs"}`, kernel, s.TxInvalid)
	f(`lockstep_xdp_kernel_total{what="rx_ring_full"}`, kernel, s.RxRingFull)
	f(`lockstep_xdp_kernel_total{what="rx_fill_ring_empty_descs"}`, kernel, s.RxFillEmpty)
	f(`lockstep_xdp_kernel_total{what="tx_ring_empty_descs"}`, kernel, s.TxRingEmpty)
	f("lockstep_xdp_link_downs_total", "Times that the carrier was lost.", s.LinkDowns)
	f("lockstep_xdp_netlink_errors_total", "Failed questions to the kernel about neighbours and links.", s.NetlinkErrors)
	f("lockstep_xdp_link_up", "1 while the interface has a carrier.", boolean(s.LinkUp))
	f("lockstep_xdp_neighbours", "Ethernet addresses known.", uint64(s.Neighbours))
}

func boolean(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
