package journal

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"lockstep/wire"
)

// worker has segments prepared off the journal thread, by a goroutine that does nothing else; or, inline, a step at a
// time when it is polled. Its methods belong to the journal thread. One segment at a time.
type worker struct {
	preparer *preparer
	inline   bool
	busy     bool // a segment is asked for, and poll has not said that it is done
	wake     *sleeper

	requests chan struct{} // closed to end the goroutine
	results  chan error    // one for each request
	abort    atomic.Bool   // the goroutine is to stop at the next step
	rouse    chan struct{} // and not to rest any longer
	used     atomic.Int64  // how much of the segment before it, the current one, the log has taken
}

// A segment that is prepared in one go takes a processor for as long as zeroing it lasts, ten milliseconds for 16 MiB in memory,
// and threads that yield have to wait for all of it. So the goroutine does a little at a time and then rests, up to so many
// times in a row, as long as it is ahead: until then it has done twice the part of its segment that the log has taken of the
// one before.
const (
	preparePiece = 256 << 10
	prepareRest  = time.Millisecond
	prepareRests = 4
)

// errAborted is the result of a request that was taken back.
var errAborted = errors.New("aborted")

func (k *worker) start(p *preparer, inline bool, wake *sleeper) {
	k.preparer, k.inline, k.wake = p, inline, wake
	if inline {
		return
	}
	k.requests, k.results, k.rouse = make(chan struct{}, 1), make(chan error, 1), make(chan struct{}, 1)
	p.piece = preparePiece
	go k.run()
}

func (k *worker) run() {
	for range k.requests {
		err := k.prepare()
		k.results <- err // never blocks: one at a time
		k.wake.wake()
	}
	close(k.results)
}

func (k *worker) prepare() error {
	for {
		if k.abort.Load() {
			return errAborted
		}
		if ready, err := k.preparer.step(); ready || err != nil {
			return err
		}
		k.rest()
	}
}

// rest lets others have the processor while there is time.
func (k *worker) rest() {
	for range prepareRests {
		if k.preparer.done < 2*k.used.Load() {
			return
		}
		select {
		case <-k.rouse:
			return
		case <-time.After(prepareRest):
		}
	}
}

// ask has the segment at first prepared.
func (k *worker) ask(first wire.Position, bytes int64) {
	k.preparer.start(first, bytes)
	k.busy = true
	k.used.Store(0)
	if !k.inline {
		k.requests <- struct{}{} // never blocks: one at a time
	}
}

// poll says whether the segment that was asked for is ready, or cannot be made.
func (k *worker) poll() (done bool, err error) {
	if k.inline {
		done, err = k.preparer.step()
		done = done || err != nil
	} else {
		select {
		case err = <-k.results:
			done = true
		default:
		}
	}
	k.busy = !done
	return done, err
}

// quiesce takes a request back, if there is one, and returns when nobody works on it. The segment may have been made.
func (k *worker) quiesce() error {
	if !k.busy {
		return nil
	}
	k.busy = false
	if !k.inline {
		k.abort.Store(true)
		k.rouse <- struct{}{} // never blocks: one at a time
		err := <-k.results
		k.abort.Store(false)
		select {
		case <-k.rouse:
		default:
		}
		if err != nil && !errors.Is(err, errAborted) && !errors.Is(err, syscall.ENOSPC) {
			return err
		}
	}
	return k.preparer.abandon()
}

// close ends the goroutine and gives back an unfinished segment.
func (k *worker) close() error {
	err := k.quiesce()
	if k.requests != nil {
		close(k.requests)
		<-k.results
	}
	return err
}

// prepareNext keeps one segment ahead of the log, and says when there is no space for it.
func (w *Writer) prepareNext() (int, error) {
	if w.worker.busy {
		return w.pollNext()
	}
	if w.j.next != nil || w.full && w.nowNs < w.retryNs {
		return 0, nil
	}
	w.worker.ask(w.j.current.end(), w.j.options.SegmentBytes)
	return 1, nil
}

func (w *Writer) pollNext() (int, error) {
	done, err := w.worker.poll()
	switch {
	case !done && w.worker.inline:
		return 1, nil
	case !done:
		w.worker.used.Store(int64(w.j.written - w.j.current.first))
		return 0, nil
	case errors.Is(err, syscall.ENOSPC):
		w.retryNs = w.nowNs + w.j.options.RetryNs
		if !w.full {
			w.full = true
			w.j.count.full.Inc()
			w.tell(Report{Kind: ReportFull, Position: w.j.current.end()})
			w.j.options.Log(fmt.Sprintf("journal: disk full: the log can go on up to position %d: %v", w.j.current.end(), err))
		}
		return 1, nil
	case err != nil:
		return 0, err
	}
	w.j.next = &segmentInfo{first: w.worker.preparer.first, bytes: w.worker.preparer.bytes}
	if w.full {
		w.full = false
		w.tell(Report{Kind: ReportSpace, Position: w.j.next.end()})
		w.j.options.Log(fmt.Sprintf("journal: there is space again: the log can go on up to position %d", w.j.next.end()))
	}
	return 1, nil
}
