package bench

import (
	"errors"
	"math"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"lockstep/agent"
	"lockstep/ringbuf"
	"lockstep/wire"
)

// The floors that need no network: what it costs to hand something to another thread and back, and to have it on disk.

// spscSlots is the size of the rings between the two threads.
const spscSlots = 64

// SPSCFloor measures round trips between two threads that spin, each on a thread of the machine's of its own, over two rings in
// shared memory: one value goes there and comes back before the next.
func SPSCFloor(measure time.Duration) *Result {
	there, back := ringbuf.NewSPSC(make([]uint64, spscSlots)), ringbuf.NewSPSC(make([]uint64, spscSlots))
	var stop atomic.Bool
	var other sync.WaitGroup
	other.Go(func() {
		runtime.LockOSThread()
		idle := agent.Spin{}
		for !stop.Load() {
			v := there.Peek()
			if v == nil {
				idle.Idle(0)
				continue
			}
			back.Offer(v)
			back.Publish()
			there.Advance()
			there.Release()
		}
	})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r := &Result{Histogram: NewHistogram(), Elapsed: measure}
	clock, idle := agent.System{}, agent.Spin{}
	warmNs, endNs := int64(math.MaxInt64), int64(math.MaxInt64)
	for sentNs, number := clock.NowNs(), uint64(1); sentNs < endNs; number++ {
		there.Offer(&number)
		there.Publish()
		for back.Peek() == nil {
			idle.Idle(0)
		}
		back.Advance()
		back.Release()
		nowNs := clock.NowNs()
		switch {
		case number == 1: // the other thread is there
			warmNs = nowNs + measure.Nanoseconds()/10
			endNs = warmNs + measure.Nanoseconds()
		case sentNs >= warmNs:
			r.Sent, r.Acked = r.Sent+1, r.Acked+1
			_ = r.Histogram.RecordValue(nowNs - sentNs)
		}
		sentNs = nowNs
	}
	stop.Store(true)
	other.Wait()
	return r
}

// diskFloorBytes is the size of each writer's file.
const diskFloorBytes = 16 << 20

// DiskFloor measures durable writes of one record, with a payload of so many bytes, as a node's journal writes them: with its
// flags, of the blocks that it writes, one after the other; by so many writers at once, each with a file of its own in dir. how says
// in which words.
func DiskFloor(dir string, payload, writers int, measure time.Duration) (r *Result, how string, err error) {
	r = &Result{Histogram: NewHistogram(), Elapsed: measure}
	record := int(wire.Padded(uint32(wire.RecordHeaderSize + payload)))
	made := make([]*diskWriter, writers)
	defer func() {
		for _, w := range made {
			if w != nil {
				err = errors.Join(err, w.file.Close(), os.Remove(w.name))
			}
		}
	}()
	for i := range made { // all files are written full before the first writer begins
		w := &diskWriter{plan: JournalPlan{Dir: dir, Payload: payload}, times: NewHistogram()}
		if w.file, w.name, err = floorFile(&w.plan, diskFloorBytes); err != nil {
			return nil, "", err
		}
		made[i] = w
	}
	ended := make(chan error, writers)
	for _, w := range made {
		go func() { ended <- w.run(record, diskFloorBytes, measure) }()
	}
	for range made {
		err = errors.Join(err, <-ended)
	}
	for _, w := range made {
		r.Histogram.Merge(w.times)
	}
	r.Sent = uint64(r.Histogram.TotalCount())
	r.Acked = r.Sent
	return r, made[0].plan.syncWords(), err
}
