package replica

import "lockstep/wire"

// diskWatch looks for a disk that hangs: one that is asked to sync and does not get on, without an error. Its heartbeats
// would go on for ever.
type diskWatch struct {
	full    bool
	hung    bool
	durable wire.Position // as seen last
	movedNs int64         // since when something is owed and durable stands; 0: nothing is owed
}

// watchDisk looks at how the journal gets on, about once a millisecond. What counts is progress: a journal thread that
// does not come round to its work is no better than a write that does not end. Without space it owes nothing.
func (a *Agent) watchDisk() {
	if a.o.DiskHungNs == 0 {
		return
	}
	d := &a.disk
	durable := a.core.s.durable
	owes := durable < a.chain.Position && !d.full && !a.cutting || a.o.Journal.WritingSinceNs() != 0
	switch {
	case !owes:
		d.movedNs = 0
	case d.movedNs == 0 || durable != d.durable || a.nowNs-a.statusAtNs > a.o.DiskHungNs/4:
		d.movedNs = a.nowNs // or this thread stood still itself, and has not seen what the other did meanwhile
	}
	d.durable = durable
	hung := d.movedNs != 0 && a.nowNs-d.movedNs >= a.o.DiskHungNs
	if hung == d.hung {
		return
	}
	d.hung = hung
	a.m.diskHung.Set(gauge01(hung))
	a.o.Leading.DiskBad(d.full || d.hung)
	if hung {
		a.m.diskHangs.Inc()
		a.o.Log("disk hangs: nothing was synced for %d ms although %d bytes wait for it; this node lets another lead",
			(a.nowNs-d.movedNs)/1e6, a.chain.Position-min(durable, a.chain.Position))
	} else {
		a.o.Log("disk goes on")
	}
	a.publishAppended()
	a.tell(event{kind: InDiskHung, flag: hung})
}
