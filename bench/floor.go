package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"lockstep/agent"
	"lockstep/transport"
)

// The two-hop floor: client -> leader -> followers (multicast) -> leader -> client, forwarded by bare loops over the
// candidate's own transport and topology, with its idle strategy and its number of followers. A frame is a number of
// 8 bytes and filler; no check, no log, no logic: the least that a committed round trip can cost here.

// RelayRole says which loop a process runs.
type RelayRole string

// The roles.
const (
	RelayLeader   RelayRole = "leader"
	RelayFollower RelayRole = "follower"
	RelayEcho     RelayRole = "echo" // sends every frame back where it came from, at once
)

const (
	floorHeader   = 16 // number, and who sent it
	fromClient    = 1
	fromLeader    = 2
	fromFollower  = 3
	answerPayload = 16 // an answer carries no payload, as an acknowledgement does not
)

// Relay forwards until ctx ends.
func Relay(ctx context.Context, role RelayRole, t transport.Transport, leader, group transport.Addr, idle agent.Idle) error {
	r := &relay{t: t, sender: transport.NewSender(t, 16), leader: leader, group: group}
	rx := make([]transport.Received, 64)
	for ctx.Err() == nil {
		n := t.Receive(rx)
		for i := range n {
			switch role {
			case RelayLeader:
				r.lead(&rx[i])
			case RelayEcho:
				r.forward(rx[i].Payload, len(rx[i].Payload), fromLeader, rx[i].From)
			default:
				r.follow(&rx[i])
			}
		}
		if n > 0 {
			t.Release()
			r.sender.Flush()
		}
		idle.Idle(n)
		if err := t.Err(); err != nil {
			return err
		}
	}
	return nil
}

type relay struct {
	t             transport.Transport
	sender        *transport.Sender
	leader, group transport.Addr
	client        transport.Addr
	asked         uint64 // highest number of the client's run
	answered      uint64 // highest one that went back to it
}

// lead passes a client's frame on to the group, and the first follower's answer on to the client.
func (r *relay) lead(d *transport.Received) {
	number, from, ok := floorFrame(d.Payload)
	switch {
	case !ok:
	case from == fromClient:
		if number == 1 || d.From != r.client { // another run
			r.client, r.asked, r.answered = d.From, 0, 0
		}
		r.asked = max(r.asked, number)
		r.forward(d.Payload, len(d.Payload), fromLeader, r.group)
	case from == fromFollower && number > r.answered && number <= r.asked:
		r.answered = number
		r.forward(d.Payload, answerPayload, fromLeader, r.client)
	}
}

// follow answers the leader's frame.
func (r *relay) follow(d *transport.Received) {
	if _, from, ok := floorFrame(d.Payload); ok && from == fromLeader {
		r.forward(d.Payload, answerPayload, fromFollower, r.leader)
	}
}

func (r *relay) forward(payload []byte, n int, from uint64, to transport.Addr) {
	b := r.sender.Next()
	if b == nil || n < floorHeader {
		return
	}
	copy(b[:n], payload)
	binary.LittleEndian.PutUint64(b[8:], from)
	r.sender.Commit(n, to)
}

func floorFrame(b []byte) (number, from uint64, ok bool) {
	if len(b) < floorHeader {
		return 0, 0, false
	}
	return binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]), true
}

// FloorLoad measures the relays' round trip: one frame at a time (rate 0), or on a schedule.
func FloorLoad(t transport.Transport, leader transport.Addr, frameBytes int, rate float64,
	warmup, measure time.Duration, clock agent.Clock, idle agent.Idle) (*Result, error) {
	f := &floorLoad{t: t, sender: transport.NewSender(t, 16), leader: leader, bytes: max(frameBytes, floorHeader),
		clock: clock, idle: idle, rx: make([]transport.Received, 64)}
	f.result.Histogram = NewHistogram()
	if !f.reach() {
		return nil, fmt.Errorf("bench: floor: no frame came back from %s within %v", leader, time.Duration(reachNs))
	}
	startNs := clock.NowNs()
	f.first = f.sent
	f.measureNs = startNs + warmup.Nanoseconds()
	endNs := f.measureNs + measure.Nanoseconds()
	for nowNs := startNs; nowNs < endNs; nowNs = clock.NowNs() {
		f.sendDue(nowNs, startNs, rate)
		f.poll()
	}
	f.result.Elapsed = measure
	for deadline := clock.NowNs() + time.Second.Nanoseconds(); f.answered < f.sent && clock.NowNs() < deadline; {
		f.poll()
	}
	if f.result.Acked == 0 {
		return nil, fmt.Errorf("bench: floor: no frame came back from %s", leader)
	}
	return &f.result, t.Err()
}

type floorLoad struct {
	t         transport.Transport
	sender    *transport.Sender
	leader    transport.Addr
	bytes     int
	clock     agent.Clock
	idle      agent.Idle
	rx        []transport.Received
	result    Result
	measureNs int64
	sent      uint64
	first     uint64 // sent before the schedule began
	answered  uint64 // highest number that came back
	due       [flights]int64
	sentNs    int64
}

const (
	// giveUpNs is how long a closed loop waits for a frame: far beyond what a busy machine delays one, because one that is
	// given up counts as lost.
	giveUpNs = 500e6
	// reachNs is how long all relays have to be there, askNs how long they are given to say so each time.
	reachNs = 5e9
	askNs   = 20e6
)

// reach sends frames that do not count until one comes back: a relay that has just begun may not hear its group yet.
func (f *floorLoad) reach() bool {
	f.measureNs = math.MaxInt64
	for endNs := f.clock.NowNs() + reachNs; f.answered == 0 || f.answered != f.sent; {
		nowNs := f.clock.NowNs()
		if nowNs >= endNs {
			return f.answered != 0
		}
		if f.sent == 0 || nowNs-f.sentNs > askNs {
			f.send(nowNs)
		}
		f.poll()
	}
	return true
}

// sendDue sends what is due. In closed loop a frame that is lost is given up after a while.
func (f *floorLoad) sendDue(nowNs, startNs int64, rate float64) {
	if rate == 0 {
		if f.answered == f.sent || nowNs-f.sentNs > giveUpNs {
			f.send(nowNs)
		}
		return
	}
	for {
		dueNs := startNs + int64(float64(f.sent-f.first)/rate*1e9)
		if dueNs > nowNs {
			return
		}
		f.send(dueNs)
	}
}

func (f *floorLoad) send(dueNs int64) {
	b := f.sender.Next()
	if b == nil {
		return
	}
	f.sent++
	f.sentNs = dueNs
	f.due[f.sent%flights] = dueNs
	clear(b[:f.bytes])
	binary.LittleEndian.PutUint64(b, f.sent)
	binary.LittleEndian.PutUint64(b[8:], fromClient)
	f.sender.Commit(f.bytes, f.leader)
	f.sender.Flush()
	if dueNs >= f.measureNs {
		f.result.Sent++
	}
}

func (f *floorLoad) poll() {
	n := f.t.Receive(f.rx)
	for i := range n {
		number, from, ok := floorFrame(f.rx[i].Payload)
		if !ok || from != fromLeader || number <= f.answered || number > f.sent {
			continue
		}
		f.answered = number
		if dueNs := f.due[number%flights]; dueNs >= f.measureNs {
			f.result.Acked++
			record(f.result.Histogram, f.clock.NowNs()-dueNs)
		}
	}
	if n > 0 {
		f.t.Release()
	}
	f.idle.Idle(n)
}
