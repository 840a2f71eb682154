package judge

import (
	"bytes"
	"cmp"
	"fmt"

	"lockstep/internal/history"
	"lockstep/service"
	"lockstep/service/lock"
	"lockstep/wire"
)

// View is what one session of a client sent and heard, by the client's own clock.
type View struct {
	Client  int
	Session wire.SessionID
	Sent    []Sent // by correlation-1
	Heard   []Heard
	Closed  bool  // it was over at the end
	EndNs   int64 // when its client closed it; 0: it did not
}

// Sent is a message. Request is kept of the services whose clients' view is judged.
type Sent struct {
	Service  uint16
	Request  []byte
	InvokeNs int64

	// What the key/value store answered first, and when; aborted: within a transaction that came to nothing.
	answer   []byte
	answerNs int64
	aborted  bool
}

// Heard is a response. Payload is kept of those services, Hash of all.
type Heard struct {
	Service     uint16
	Correlation uint64
	Position    wire.Position
	Hash        uint64
	Payload     []byte
	AtNs        int64
}

// seen says whether more than the hash of a service's payloads is of use.
func seen(id uint16) bool { return id == service.KV || id == service.Lock || id == service.Transaction }

// Send takes a message that was handed to the client.
func (v *View) Send(nowNs int64, to uint16, request []byte) {
	x := Sent{Service: to, InvokeNs: nowNs}
	if seen(to) {
		x.Request = bytes.Clone(request)
	}
	v.Sent = append(v.Sent, x)
}

// Hear takes the next response.
func (v *View) Hear(nowNs int64, from uint16, correlation uint64, at wire.Position, payload []byte) {
	h := Heard{Service: from, Correlation: correlation, Position: at, Hash: service.MixBytes(0, payload), AtNs: nowNs}
	if seen(from) {
		h.Payload = bytes.Clone(payload)
	}
	v.Heard = append(v.Heard, h)
}

// Compare holds what a session heard against what the log says that it was to hear.
func (j *Judge) Compare(v *View) error {
	for i := range v.Heard {
		h := &v.Heard[i]
		want, ok := j.Response(v.Session, uint64(i+1))
		if !ok || want.Service != h.Service || want.Correlation != h.Correlation || want.Position != h.Position ||
			service.MixBytes(0, want.Payload) != h.Hash {
			return fmt.Errorf("client %d, session %x: response %d, of service %d to message %d and from the record at %d, is not what the "+
				"log says: service %d, message %d, record at %d, %d bytes", v.Client, v.Session, i+1, h.Service, h.Correlation, h.Position,
				want.Service, want.Correlation, want.Position, len(want.Payload))
		}
	}
	return nil
}

// KV are the operations on the key/value store, those within transactions too.
func (v *View) KV() (ops []history.KVOp) {
	for i := range v.Heard {
		if h := &v.Heard[i]; h.Correlation > 0 && h.Correlation <= uint64(len(v.Sent)) {
			v.Sent[h.Correlation-1].told(h)
		}
	}
	for i := range v.Sent {
		x := &v.Sent[i]
		op := history.KVOp{Op: history.Op{Client: v.Client, ID: fmt.Sprintf("%x/%d", v.Session, i+1), InvokeNs: x.InvokeNs,
			ReturnNs: x.answerNs}}
		if request := x.part(service.KV); request != nil && !(x.aborted && x.answer == nil) && KVOp(&op, request, x.answer) {
			ops = append(ops, op)
		}
	}
	return ops
}

// told takes note of the first answer of the key/value store.
func (x *Sent) told(h *Heard) {
	if x.answer != nil {
		return
	}
	switch h.Service {
	case service.KV:
		x.answer, x.answerNs = h.Payload, h.AtNs
	case service.Transaction:
		var o service.Outcome
		if !service.DecodeOutcome(h.Payload, &o) || o.Committed {
			return
		}
		x.aborted = true
		if o.Service == service.KV {
			x.answer, x.answerNs = o.Refusal, h.AtNs
		}
	}
}

// part is what a message asks of a service, by itself or in a transaction; nil if nothing.
func (x *Sent) part(of uint16) []byte {
	switch x.Service {
	case of:
		return x.Request
	case service.Transaction:
		var parts [service.MaxCommands]service.Part
		n, _ := service.DecodeTransaction(x.Request, &parts)
		for _, part := range parts[:min(n, service.MaxCommands)] {
			if part.Service == of {
				return part.Payload
			}
		}
	}
	return nil
}

// Locks are the locks as sessions knew that they held them: from when they were told until one of them asked to release them. Left
// out are those that can end without a word: that run out, or whose session was over at the end.
func Locks(views []*View) (list []history.Interval) {
	released := map[held]int64{} // when that was asked first
	renewed := map[held]bool{}   // they may run out since
	var q lock.Request
	for _, v := range views {
		for i := range v.Sent {
			x := &v.Sent[i]
			if !lock.DecodeRequest(x.part(service.Lock), &q) {
				continue
			}
			key := held{string(q.Name), q.Token}
			if at, known := released[key]; q.Command == lock.Release && (!known || x.InvokeNs < at) {
				released[key] = x.InvokeNs
			}
			if q.Command == lock.Renew && q.TTLMs != 0 {
				renewed[key] = true
			}
		}
	}
	for _, v := range views {
		if v.Closed {
			continue
		}
		for _, x := range v.locks() {
			if key := (held{x.Name, x.Token}); !renewed[key] {
				x.ToNs = cmp.Or(released[key], v.EndNs)
				list = append(list, x)
			}
		}
	}
	return list
}

// held names a hold.
type held struct {
	name  string
	token uint64
}

// locks are the locks without an end that a session was granted.
func (v *View) locks() (list []history.Interval) {
	var p lock.Response
	var q lock.Request
	acquired := map[uint64]bool{} // records at which this session got a lock, or a place
	for i := range v.Heard {
		h := &v.Heard[i]
		if h.Service != service.Lock || !lock.DecodeResponse(h.Payload, &p) {
			continue
		}
		asked := h.Correlation > 0 && h.Correlation <= uint64(len(v.Sent)) &&
			lock.DecodeRequest(v.Sent[h.Correlation-1].part(service.Lock), &q) && q.Command == lock.Acquire
		switch {
		case p.Report == lock.Waiting:
			acquired[p.Token] = asked
		case p.Report != lock.Granted || p.Expires != 0 || !asked && !acquired[p.Waited]:
		default:
			list = append(list, history.Interval{Name: string(p.Name), Holder: fmt.Sprintf("session %x", v.Session), Token: p.Token,
				FromNs: h.AtNs})
		}
	}
	return list
}
