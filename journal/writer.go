package journal

import (
	"lockstep/agent"
	"lockstep/internal/simbug"
	"lockstep/ringbuf"
	"lockstep/wire"
)

// Writer is the journal thread's agent: it takes whole records from the log ring, stores them, one write and one sync a
// batch, and reports. Its DoWork blocks when there is nothing to do (unless Options.Inline), so it has a thread of its
// own, without an idle strategy.
type Writer struct {
	j      *Journal
	ring   *ringbuf.LogRing
	gate   *ringbuf.Cursor
	port   *Port
	worker worker
	look   func() (int, error) // lookAgain, as a value made once

	yield  agent.Idle
	worked bool  // the last cycle had something to do
	idleNs int64 // when the first cycle without work began
	waited bool  // somebody waited for the last write

	nowNs    int64
	oldestNs int64 // when the oldest unsynced byte was first seen; 0 when there is none
	reported wire.Position
	full     bool  // the disk is full, and ReportFull was given
	retryNs  int64 // when space is to be asked for again
	planned  int64 // the time-out that this thread is about to block with
	waiting  bool  // the batch at hand waits for the next segment
	pending  []Report
	err      error
}

// Agent makes the journal thread's agent, which writes what the ring holds and port asks for. Once, before the ring is
// started (it registers a gate) and before the agent runs.
func (j *Journal) Agent(ring *ringbuf.LogRing, port *Port) (*Writer, error) {
	if !j.ready {
		return nil, ErrForgot
	}
	w := &Writer{j: j, ring: ring, gate: ring.Gate("journal"), port: port, reported: j.written}
	w.look = w.lookAgain
	port.append.Store(uint64(j.written))
	port.durable.Store(uint64(j.written))
	j.count.durable.Set(uint64(j.written))
	port.syncBytes = uint64(j.options.SyncBytes)
	port.sleeper = &j.writeSleep
	if !j.options.Inline {
		parker, err := agent.NewParker()
		if err != nil {
			return nil, err
		}
		j.writeSleep.parker = parker
		if w.yield, err = agent.NewIdle(agent.IdleYield, nil, 0); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// Name implements agent.Agent.
func (w *Writer) Name() string { return "journal" }

// OnStart implements agent.Agent.
func (w *Writer) OnStart(nowNs int64) error {
	w.nowNs = nowNs
	w.worker.start(w.j.preparer(), w.j.options.Inline, &w.j.writeSleep)
	return nil
}

// DoWork implements agent.Agent.
func (w *Writer) DoWork(nowNs int64) (int, error) {
	w.nowNs = nowNs
	work, err := w.cycle()
	if work > 0 || err != nil {
		w.worked = true
		return work, err
	}
	if w.worked {
		w.worked, w.idleNs = false, nowNs
	}
	linger := int64(lingerNs)
	if w.waited {
		linger = lingerWaitedNs
	}
	if w.yield != nil && nowNs-w.idleNs < linger {
		w.yield.Idle(0)
		return 0, nil
	}
	w.planned = w.timeoutNs()
	return w.j.writeSleep.sleep(w.planned, w.look)
}

// lingerNs is how long this thread looks for more, yielding, before it blocks: waking a blocked thread takes a fifth of a
// write. Behind a write that somebody waited for it is as long as a client that waits for each answer needs for its next
// message.
const (
	lingerNs       = 25_000
	lingerWaitedNs = 100_000
)

// lookAgain is the second look before this thread blocks. What came meanwhile may have nothing to do but set a timer.
func (w *Writer) lookAgain() (int, error) {
	work, err := w.cycle()
	if work == 0 && err == nil && w.timeoutNs() != w.planned {
		work = 1
	}
	return work, err
}

// Wake implements agent.Waker.
func (w *Writer) Wake() {
	if p := w.j.writeSleep.parker; p != nil {
		p.Wake()
	}
}

// OnClose implements agent.Agent. Journal.Close closes the files, when all agents have ended.
func (w *Writer) OnClose() error { return w.worker.close() }

// cycle does what is ready. The first error is final.
func (w *Writer) cycle() (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	work, err := w.step()
	if err != nil {
		w.fail(err)
	}
	return work + w.publish(), w.err
}

func (w *Writer) step() (int, error) {
	if w.port.cuts.Peek() != nil {
		return 1, w.cut()
	}
	work, err := w.prepareNext()
	if err != nil {
		return work, err
	}
	end := wire.Position(w.port.append.Load())
	if !w.due(end) {
		return work, nil
	}
	n, err := w.writeBatch(end)
	return work + n, err
}

// due says whether there is something to write below end, and that it is to be written now. The core lowers the end
// before it gives the command to cut: below what is written, that command is about to come.
func (w *Writer) due(end wire.Position) bool {
	if end <= w.j.written {
		w.oldestNs = 0
		return false
	}
	waiting := uint64(end - w.j.written)
	if w.oldestNs == 0 {
		w.oldestNs = max(1, w.nowNs)
	}
	w.waited = w.port.syncTo.Load() > uint64(w.j.written)
	return w.waited || waiting >= uint64(w.j.options.SyncBytes) ||
		w.nowNs-w.oldestNs >= w.j.options.SyncIntervalNs || w.port.stop.Load()
}

// timeoutNs is how long there is certainly nothing to do unless somebody wakes this thread; negative: for ever.
func (w *Writer) timeoutNs() int64 {
	timeout := int64(-1)
	if w.oldestNs != 0 && !w.waiting {
		timeout = max(0, w.oldestNs+w.j.options.SyncIntervalNs-w.nowNs)
	}
	if w.full && !w.worker.busy {
		timeout = earlier(timeout, max(0, w.retryNs-w.nowNs))
	}
	if len(w.pending) > 0 || w.reported != w.j.written {
		timeout = earlier(timeout, reportRetryNs)
	}
	return timeout
}

// reportRetryNs is how long the thread waits for room in the reports that the core has not taken.
const reportRetryNs = 1_000_000

func earlier(a, b int64) int64 {
	if a < 0 {
		return b
	}
	return min(a, b)
}

// writeBatch stores whole records from written up to end: at most a batch, and no further than there is a segment for.
func (w *Writer) writeBatch(end wire.Position) (int, error) {
	j := w.j
	until := min(end, j.written+wire.Position(j.options.BatchBytes))
	room := j.current.end()
	if j.next != nil {
		room = j.next.end()
	}
	until = min(until, room)
	view := w.ring.View(uint64(j.written), uint64(until))
	if simbug.On(simbug.RingWithoutReserve) {
		w.gate.Store(w.ring.Append())
	}
	b, err := walkBatch(view, j.written, j.current.end())
	if err != nil {
		return 0, err
	}
	if w.waiting = b.bytes == 0; w.waiting {
		return 0, nil // no room for a whole record before the next segment is there
	}
	w.port.writing.Store(max(1, w.nowNs))
	if err := j.store(view[:b.bytes], &b); err != nil {
		return 0, err
	}
	w.port.writing.Store(0)
	w.oldestNs = 0
	j.durable.Store(uint64(j.written))
	w.port.durable.Store(uint64(j.written))
	w.gate.Store(uint64(j.written))
	j.count.writes.Inc()
	j.count.bytes.Add(uint64(b.bytes))
	j.count.durable.Set(uint64(j.written))
	if j.markSleep.untimed() {
		j.markSleep.wake()
	}
	return 1, nil
}
