package match

// Pending tells that work is left: the caller is to call Continue in a record soon.
func (e *Engine) Pending() bool { return e.busy.head != 0 || e.killing != 0 }

// Continue does some of the work that is left.
func (e *Engine) Continue(nowNs uint64) {
	e.begin()
	if e.killSome() {
		e.runPending()
	}
}

// run does the work of an instrument, step by step; it reports false when the call has done enough before all is done.
func (e *Engine) run(in *instrument) (done bool) {
	for done = true; done && in.phase != idle; {
		switch in.phase {
		case starting:
			e.start(in)
		case summing:
			done = e.sumSome(in)
		case pricing:
			done = e.priceSome(in)
		case uncross:
			done = e.uncrossSome(in)
		case clearing:
			if done = e.clearSome(in); done {
				e.arrive(in)
			}
		case closing:
			if done = e.closeSome(in); done {
				in.phase = idle
			}
		case electing:
			if done = e.elect(in); done {
				in.phase = idle
			}
		}
	}
	e.settleInstrument(in)
	return done
}

// pend puts an instrument behind those with work pending.
func (e *Engine) pend(in *instrument) {
	id := uint32(in.d.ID)
	in.ticket, in.nextBusy = e.ticket(), 0
	if e.busy.tail != 0 {
		e.instruments[e.busy.tail].nextBusy = id
	} else {
		e.busy.head = id
	}
	e.busy.tail = id
	e.settleInstrument(in)
}

// runPending does the work of those that have some, one after the other, until the call has done enough.
func (e *Engine) runPending() {
	for e.busy.head != 0 {
		in := &e.instruments[e.busy.head]
		if !e.run(in) {
			return
		}
		e.busy.head = in.nextBusy
		if e.busy.head == 0 {
			e.busy.tail = 0
		}
		in.ticket, in.nextBusy = 0, 0
		e.settleInstrument(in)
	}
}

// Kill switches an account (or all: 0) off, or on again: see Book.
func (e *Engine) Kill(id Account, on bool) Reason {
	if id == 0 {
		return e.killAll(on)
	}
	if !on && e.accounts.known(id) == 0 {
		return None
	}
	i := e.know(id)
	if i == 0 {
		return TooManyAccounts
	}
	if e.accounts.at[i].killed == on {
		return None
	}
	e.accounts.at[i].killed = on
	e.settleAccount(i)
	if on {
		e.cancelOwn(i, 0, 0, CanceledKilled)
	}
	return None
}

func (e *Engine) killAll(on bool) Reason {
	switch {
	case e.killed == on:
	case on:
		e.killed, e.killing = true, 1
		e.begin()
		e.killSome()
	case e.killing != 0:
		return Busy
	default:
		e.killed = false
	}
	return None
}

// killSome cancels orders because all are switched off; it reports false when the call has done enough before all is done.
func (e *Engine) killSome() bool {
	for ; e.killing != 0 && e.killing < uint32(len(e.instruments)); e.killing++ {
		in := &e.instruments[e.killing]
		for l := range in.open {
			for in.open[l].head != 0 {
				if !e.spend() {
					return false
				}
				e.cancelWhole(in.open[l].head, CanceledKilled)
			}
		}
	}
	e.killing = 0
	return true
}
