package bench

import (
	"lockstep/agent"
	"lockstep/client"
	"lockstep/wire"
)

// Recorder is a client's handler that remembers every acknowledgement, and passes everything on to the load of the
// moment.
type Recorder struct {
	Acks       []Ack
	Duplicated uint64 // responses whose number is not the next
	Leader     wire.NodeID
	Term       wire.Term
	load       *Load
	number     uint64
	sentNs     []int64 // by correlation, from 1
}

// Sent notes when a message was given to the client. Messages of a session come in order.
func (r *Recorder) Sent(_ uint64, nowNs int64) { r.sentNs = append(r.sentNs, nowNs) }

// Use passes what comes on to a load.
func (r *Recorder) Use(l *Load) { r.load = l }

// OnAck implements client.Handler.
func (r *Recorder) OnAck(a client.Ack) {
	kept := Ack{Correlation: a.Correlation, Level: a.Level, Sequence: a.Sequence, Position: a.Position}
	if a.Correlation <= uint64(len(r.sentNs)) {
		kept.SentNs, kept.AckedNs = r.sentNs[a.Correlation-1], agent.System{}.NowNs()
	}
	r.Acks = append(r.Acks, kept)
	if r.load != nil {
		r.load.OnAck(a)
	}
}

// OnResponse implements client.Handler. Response numbers are dense: anything else is a loss or a duplicate.
func (r *Recorder) OnResponse(x client.Response) {
	if x.Number != r.number+1 {
		r.Duplicated++
	}
	r.number = x.Number
	if r.load != nil {
		r.load.OnResponse(x)
	}
}

// OnEvent implements client.Handler.
func (r *Recorder) OnEvent(e client.Event) {
	if e.Leader != 0 {
		r.Leader, r.Term = e.Leader, e.Term
	}
	if r.load != nil {
		r.load.OnEvent(e)
	}
}
