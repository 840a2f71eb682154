package command

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"lockstep/client"
	"lockstep/wire"
)

// printer prints what comes of messages.
type printer interface {
	ack(s *clientSession, a *client.Ack, tookNs int64)
	response(s *clientSession, x *client.Response)
	settled(s *clientSession, correlation uint64, m *sentMessage)
	end(s *clientSession)
}

// clientRecord is one line of JSON.
type clientRecord struct {
	Kind      string             `json:"kind"` // ack, refused, response, levels, or medians
	Message   uint64             `json:"message"`
	Level     string             `json:"level,omitempty"`
	Us        float64            `json:"us,omitempty"` // from sending
	Levels    map[string]float64 `json:"levels,omitempty"`
	Sequence  uint64             `json:"sequence,omitempty"`
	Position  uint64             `json:"position,omitempty"`
	Term      uint64             `json:"term,omitempty"`
	Time      string             `json:"time,omitempty"` // the record's stamp
	Number    uint64             `json:"number,omitempty"`
	Service   uint16             `json:"service,omitempty"`
	Last      bool               `json:"last,omitempty"`
	Payload   *string            `json:"payload,omitempty"`
	Code      string             `json:"code,omitempty"`
	Sentence  string             `json:"sentence,omitempty"`
	Completed int                `json:"completed,omitempty"` // messages that the medians are of
}

func (s *clientSession) encode(r *clientRecord) { _ = json.NewEncoder(s.out).Encode(r) }

func micros(ns int64) float64 { return float64(ns/10) / 100 }

// stamp is a record's time for people.
func stamp(ns uint64) string {
	if ns == 0 {
		return ""
	}
	return time.Unix(0, int64(ns)).UTC().Format("2006-01-02T15:04:05.000000000Z")
}

// printEach prints a line for every acknowledgement and response.
type printEach struct{}

func (*printEach) ack(s *clientSession, a *client.Ack, tookNs int64) {
	if s.flags.asJSON {
		r := clientRecord{Kind: "ack", Message: a.Correlation, Level: a.Level.String(), Us: micros(tookNs), Sequence: a.Sequence,
			Position: uint64(a.Position), Term: uint64(a.Term), Time: stamp(a.Timestamp)}
		if a.Code != wire.RefusalNone {
			r.Kind, r.Level, r.Code, r.Sentence = "refused", "", a.Code.Name(), a.Code.Sentence()
		}
		s.encode(&r)
		return
	}
	if a.Code != wire.RefusalNone {
		fmt.Fprintf(s.out, "message %d refused: %s: %s\n", a.Correlation, a.Code.Name(), a.Code.Sentence())
		return
	}
	fmt.Fprintf(s.out, "message %d %s after %.1f us", a.Correlation, a.Level, micros(tookNs))
	if a.Sequence != 0 {
		fmt.Fprintf(s.out, ": sequence %d, position %d, term %d, time %s", a.Sequence, a.Position, a.Term, stamp(a.Timestamp))
	}
	fmt.Fprintln(s.out)
}

func (*printEach) response(s *clientSession, x *client.Response) {
	text := s.flags.text(x.Payload)
	if s.flags.asJSON {
		r := clientRecord{Kind: "response", Message: x.Correlation, Number: x.Number, Service: x.Service, Last: x.Last,
			Sequence: x.Sequence, Position: uint64(x.Position), Time: stamp(x.Timestamp), Payload: &text}
		s.encode(&r)
		return
	}
	fmt.Fprintf(s.out, "response %d to message %d: %s\n", x.Number, x.Correlation, text)
}

func (*printEach) settled(*clientSession, uint64, *sentMessage) {}

func (*printEach) end(*clientSession) {}

// printLevels prints a line for every message, with the time to each level.
type printLevels struct {
	began bool
	times [wire.LevelApplied + 1][]int64
	count int
}

func (*printLevels) ack(*clientSession, *client.Ack, int64) {}

func (*printLevels) response(*clientSession, *client.Response) {}

func (p *printLevels) settled(s *clientSession, correlation uint64, m *sentMessage) {
	if m.refused != wire.RefusalNone {
		(*printEach)(nil).ack(s, &client.Ack{Correlation: correlation, Code: m.refused}, 0)
		return
	}
	p.count++
	for level, ns := range m.times {
		if ns != 0 {
			p.times[level] = append(p.times[level], ns)
		}
	}
	p.line(s, "levels", correlation, m.times[:])
}

// line prints times by level.
func (p *printLevels) line(s *clientSession, kind string, correlation uint64, times []int64) {
	if s.flags.asJSON {
		r := clientRecord{Kind: kind, Message: correlation, Levels: map[string]float64{}}
		if kind == "medians" {
			r.Completed = p.count
		}
		for level, ns := range times {
			if ns != 0 {
				r.Levels[wire.Level(level).String()] = micros(ns)
			}
		}
		s.encode(&r)
		return
	}
	if !p.began {
		p.began = true
		fmt.Fprintf(s.out, "%-10s", "MESSAGE")
		for level := wire.LevelReceived; level <= wire.LevelApplied; level++ {
			fmt.Fprintf(s.out, "%14s", strings.ToUpper(level.String())+"_US")
		}
		fmt.Fprintln(s.out)
	}
	name := kind
	if kind == "levels" {
		name = fmt.Sprint(correlation)
	}
	fmt.Fprintf(s.out, "%-10s", name)
	for _, ns := range times[wire.LevelReceived:] {
		if ns == 0 {
			fmt.Fprintf(s.out, "%14s", "-")
			continue
		}
		fmt.Fprintf(s.out, "%14.1f", micros(ns))
	}
	fmt.Fprintln(s.out)
}

func (p *printLevels) end(s *clientSession) {
	if p.count < 2 {
		return
	}
	medians := make([]int64, len(p.times))
	for level, list := range p.times {
		if len(list) > 0 {
			slices.Sort(list)
			medians[level] = list[len(list)/2]
		}
	}
	p.line(s, "medians", 0, medians)
}
