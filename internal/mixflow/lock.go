package mixflow

import (
	"bytes"

	"lockstep/service/lock"
)

// lockFlow takes locks, holds them, and lets go of most of them.
type lockFlow struct {
	draw
	held     []hold // the newest last
	request  lock.Request
	response lock.Response
}

// hold is a token that this client was given: of a lock, an announcement or a place among those who wait.
type hold struct {
	name  []byte
	token uint64
}

// NewLock draws commands for locks.
func NewLock(o Options) Flow { return &lockFlow{draw: newDraw(o)} }

// Next implements Flow.
func (f *lockFlow) Next() []byte {
	q := lock.Request{Name: f.name("lock-")}
	switch n := f.IntN(100); {
	case n < 35:
		q.Command = lock.Acquire
		f.terms(&q)
		if f.odds(50) {
			q.WaitMs = f.time()
		}
	case n < 40:
		q.Command = lock.Announce
		f.terms(&q)
	case n < 80 && len(f.held) > 0:
		f.settle(&q)
	case n < 92:
		q.Command = lock.Get
	case n < 96:
		q = lock.Request{Command: lock.List, Limit: f.Uint32N(4)}
		if f.odds(30) {
			q.After = f.name("lock-")
		}
	default:
		q.Command, q.On, q.Prefix = lock.Subscribe, f.odds(40), f.odds(50)
	}
	return lock.EncodeRequest(f.builder, &q)
}

// terms are those of a hold: half of them end by themselves.
func (f *lockFlow) terms(q *lock.Request) {
	q.Value = f.value()
	if f.odds(50) {
		q.TTLMs, q.Keep = f.time(), f.odds(50)
	}
}

func (f *lockFlow) settle(q *lock.Request) {
	i := f.IntN(len(f.held))
	q.Name, q.Token = f.held[i].name, f.held[i].token
	switch n := f.IntN(100); {
	case n < 65:
		q.Command = lock.Release
		if f.odds(90) {
			f.held = append(f.held[:i], f.held[i+1:]...)
		}
	case n < 90:
		q.Command, q.TTLMs = lock.Renew, f.time()
	default:
		q.Command, q.Value = lock.SetValue, f.value()
	}
}

// Heard implements Flow.
func (f *lockFlow) Heard(request, response []byte) {
	if !lock.DecodeResponse(response, &f.response) {
		return
	}
	name := f.response.Name
	switch f.response.Report {
	case lock.Granted:
	case lock.Waiting:
		if request == nil || !lock.DecodeRequest(request, &f.request) {
			return
		}
		name = f.request.Name
	default:
		return
	}
	f.held = append(f.held, hold{bytes.Clone(name), f.response.Token})
	f.held = f.held[max(0, len(f.held)-maxHeld):]
}
