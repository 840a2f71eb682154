package pipeline

import (
	"errors"
	"math"
	"runtime"
	"runtime/debug"

	"github.com/HdrHistogram/hdrhistogram-go"

	"lockstep/agent/tsc"
	"lockstep/bench"
)

// Run measures a plan; told hears of every row.
func Run(p *Plan, told func(*Row) error) error {
	if err := p.Check(); err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tsc.Start()
	for _, family := range p.families() {
		if err := p.compare(family, told); err != nil {
			return err
		}
	}
	return nil
}

// subject is a load that is measured.
type subject struct {
	*load
	kind  *kind
	heap  int64
	perNs []float64 // ns for each message and node, of each round
	sent  uint64
	spent int64 // cycles
	took  int64
	times *hdrhistogram.Histogram
}

func newSubject(k *kind) (*subject, error) {
	before := heapBytes()
	l, err := newLoad(k)
	if err != nil {
		if l != nil {
			err = errors.Join(err, l.close())
		}
		return nil, err
	}
	return &subject{load: l, kind: k, heap: heapBytes() - before}, nil
}

// compare measures a family: the first alone, each other in turn with the first.
func (p *Plan) compare(family []kind, told func(*Row) error) (err error) {
	first, err := newSubject(&family[0])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, first.close()) }()
	for i := range family {
		other := first
		if i > 0 {
			if other, err = newSubject(&family[i]); err != nil {
				return err
			}
		}
		for _, batch := range p.Batches {
			row, err := p.measure(first, other, batch)
			if err == nil {
				err = told(&row)
			}
			if err != nil {
				return errors.Join(err, p.leave(first, other))
			}
		}
		if err := p.leave(first, other); err != nil {
			return err
		}
	}
	return nil
}

// leave gives back a world that the next does not need.
func (p *Plan) leave(first, other *subject) error {
	if other == first {
		return nil
	}
	return other.close()
}

// measure measures one of a family in turn with the first.
func (p *Plan) measure(first, other *subject, batch int) (Row, error) {
	row := newRow(p, other.load, other.kind, batch)
	turns := []*subject{first}
	if other != first {
		turns = append(turns, other)
	}
	for _, s := range turns {
		s.begin()
		if err := s.round(batch, p.Measure.Nanoseconds()/10); err != nil { // warm
			return row, err
		}
		s.begin()
	}
	gc := debug.SetGCPercent(-1) // what is allocated is counted; nothing is to be collected meanwhile
	before, cpu := mallocs(), bench.ReadCPUTimes()
	err := p.rounds(turns, batch)
	allocated := mallocs() - before
	debug.SetGCPercent(gc)
	if err != nil {
		return row, err
	}
	messages := uint64(0)
	for _, s := range turns {
		messages += s.sent
	}
	row.StealPct = bench.StealPct(cpu, bench.ReadCPUTimes())
	row.AllocsPerMsg = math.Round(float64(allocated)/float64(messages)*1000) / 1000
	row.CyclesPerMsg = math.Round(float64(other.spent)/float64(other.sent)*1000) / 1000
	row.Sent, row.Acked = other.sent, other.sent
	row.PerSec = math.Round(float64(other.sent) / (float64(other.took) / 1e9))
	row.SetTimes(other.times)
	row.HeapBytes = other.heap
	ratios := make([]float64, len(other.perNs))
	for i := range ratios {
		ratios[i] = other.perNs[i] / first.perNs[i]
	}
	row.RatioFirst = medianOf(ratios)
	row.NsPerMsgPerNode = medianOf(append([]float64(nil), other.perNs...))
	return row, other.instructions(&row, batch, p.Measure.Nanoseconds()/10)
}

// rounds has all take turns.
func (p *Plan) rounds(turns []*subject, batch int) error {
	for range p.Rounds {
		for _, s := range turns {
			if err := s.round(batch, p.Measure.Nanoseconds()/int64(p.Rounds)); err != nil {
				return err
			}
		}
	}
	return nil
}

// begin forgets what was measured before.
func (s *subject) begin() {
	s.perNs, s.sent, s.spent, s.took = make([]float64, 0, 1024), 0, 0, 0
	s.times = bench.NewHistogram()
}

// round sends batches for so long.
func (s *subject) round(batch int, measureNs int64) error {
	startNs, spentNs, cycles, sent := tsc.Now(), s.spentNs, s.cycles, s.sent
	endNs := startNs
	for endNs < startNs+measureNs {
		if err := s.batch(batch); err != nil {
			return err
		}
		nowNs := tsc.Now()
		_ = s.times.RecordValue(nowNs - endNs)
		endNs = nowNs
		s.sent += uint64(batch)
	}
	s.took += endNs - startNs
	s.spent += s.cycles - cycles
	s.perNs = append(s.perNs, float64(s.spentNs-spentNs)/float64(s.sent-sent)/nodes)
	return nil
}

// instructions counts, in a round of its own, what the nodes' agents execute.
func (s *subject) instructions(row *Row, batch int, measureNs int64) error {
	c, err := openCounter(hardwareInstructions)
	if err != nil {
		row.InstructionsWhy = err.Error()
		return nil
	}
	defer c.close()
	s.begin()
	s.timing = c.count
	err = s.round(batch, measureNs)
	s.timing = func(bool) {}
	if err != nil {
		return err
	}
	counted, err := c.read()
	if err != nil {
		return err
	}
	each := math.Round(float64(counted) / float64(s.sent) / nodes)
	row.InstructionsPerMsgPerNode = &each
	return nil
}
