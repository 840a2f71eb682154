package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"lockstep/agent"
	"lockstep/internal/counters"
	"lockstep/internal/vfs"
	"lockstep/wire"
)

// ScrubOptions say how the scrub works.
type ScrubOptions struct {
	// BytesPerS is how much is read a second, at most.
	BytesPerS int64
	// Limit is the end of what is both committed and synced here: what lies beyond may be cut yet. On the scrub's thread.
	Limit func() wire.Position
	// Mend gets the bytes of a gap from elsewhere and hands them to try, from one source after the other until it says nil.
	// An error of try other than ErrMend is final and returned. Nil when there is nobody to ask. It may block.
	Mend func(g Gap, try func(b []byte) error) error
	// PauseNs is the time between two passes; 0: a minute.
	PauseNs int64
	// Alarm is told of every damage that is found, and what became of it. Cold.
	Alarm func(msg string)
}

const (
	// scrubWindow is what one read carries: little, so that a write does not wait long behind it.
	scrubWindow = 192 << 10
	// scrubStep is how much is verified in one duty cycle.
	scrubStep = 64 << 10
	// scrubPauseNs is the time between two passes, as a rule.
	scrubPauseNs = 60_000_000_000
	// maxDamage bounds how many damaged ranges are remembered.
	maxDamage = 16
)

// Scrubber is the agent that reads sealed segments again, slowly and for ever, so that damage is found while other nodes
// still have the bytes: it verifies the chain record by record, has damage mended, and reports what cannot be. It blocks
// in DoWork like Writer, on a thread of its own, which waits for the disk behind all others.
type Scrubber struct {
	j       *Journal
	options ScrubOptions
	sleep   sleeper
	list    []segmentInfo
	window  *window
	chain   wire.Chain    // behind the last record verified
	floor   wire.Position // where the log began when the pass did
	until   wire.Position // where the segment begins that is still written; 0: no pass is under way
	checked int           // segments of the list whose header was looked at
	dueNs   int64         // when to go on
	// Where a record seemed to go on beyond the limit, and the limit then.
	stuck, stuckLimit wire.Position
	found             []string // what this pass could not have mended

	mu      sync.Mutex
	damage  []string // what stands unmended, as far as this pass and the one before know
	bytes   *counters.Counter
	passes  *counters.Counter
	errors  *counters.Counter
	damaged *counters.Counter
}

// Scrubber makes the scrub's agent. Before the journal's agents run.
func (j *Journal) Scrubber(o ScrubOptions) (*Scrubber, error) {
	if !j.ready {
		return nil, ErrForgot
	}
	if o.BytesPerS <= 0 || o.Limit == nil {
		return nil, fmt.Errorf("%w: ScrubOptions want BytesPerS above 0 and a Limit", ErrOptions)
	}
	if o.PauseNs <= 0 {
		o.PauseNs = scrubPauseNs
	}
	if o.Alarm == nil {
		o.Alarm = func(string) {}
	}
	counter := func(name, help string) *counters.Counter {
		if j.options.Counters == nil {
			return new(counters.Counter)
		}
		return j.options.Counters.Counter(name, help)
	}
	s := &Scrubber{j: j, options: o,
		bytes:   counter("lockstep_scrub_bytes_total", "bytes of sealed segments read again and verified"),
		passes:  counter("lockstep_scrub_passes_total", "times that all sealed segments were read again"),
		errors:  counter("lockstep_scrub_errors_total", "damaged ranges that the scrub found"),
		damaged: counter("lockstep_scrub_damaged", "damaged ranges that nobody could mend"),
	}
	if !j.options.Inline {
		parker, err := agent.NewParker()
		if err != nil {
			return nil, err
		}
		s.sleep.parker = parker
	}
	return s, nil
}

// Name implements agent.Agent.
func (s *Scrubber) Name() string { return "scrub" }

// OnStart implements agent.Agent.
func (s *Scrubber) OnStart(nowNs int64) error {
	s.dueNs = nowNs
	if !s.j.options.Inline {
		lowerPriority()
	}
	return nil
}

// Wake implements agent.Waker.
func (s *Scrubber) Wake() {
	if s.sleep.parker != nil {
		s.sleep.parker.Wake()
	}
}

// OnClose implements agent.Agent.
func (s *Scrubber) OnClose() error {
	s.endPass()
	if s.sleep.parker != nil {
		return s.sleep.parker.Close()
	}
	return nil
}

// Damage returns what stands unmended, a line a range: segment, offset, positions, cause. Any thread.
func (s *Scrubber) Damage() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.damage)
}

// DoWork implements agent.Agent: it verifies a step when one is due. An error is one of writing: final, as any.
func (s *Scrubber) DoWork(nowNs int64) (int, error) {
	if wait := s.dueNs - nowNs; wait > 0 {
		return s.sleep.sleep(wait, noLook)
	}
	if s.until == 0 {
		if !s.begin() {
			s.dueNs = nowNs + s.options.PauseNs
			return 0, nil
		}
	}
	before := s.chain.Position
	done, err := s.step()
	if err != nil {
		return 0, err
	}
	read := int64(s.chain.Position - before)
	s.bytes.Add(uint64(read))
	s.dueNs = max(nowNs-1e9, s.dueNs) + read*1e9/s.options.BytesPerS
	if done {
		s.passes.Inc()
		s.endPass()
		s.dueNs = nowNs + s.options.PauseNs
	}
	return 1, nil
}

// begin lists the sealed segments and puts the chain at the start of the log. False: there is nothing to do.
func (s *Scrubber) begin() bool {
	o := &s.j.options
	list, err := listSegments(o.FS, o.Dir)
	if err == nil {
		list, err = inspect(o.FS, o.Dir, list, 0)
	}
	if err != nil {
		s.options.Alarm("scrub: " + err.Error())
		return false
	}
	used := 0
	for i := range list {
		if list[i].state != blockZero { // the last one in use is still written; behind it stands a prepared one
			used = i
		}
	}
	first, ok := s.startChain(list[:used])
	if !ok {
		return false
	}
	s.list, s.until, s.checked, s.floor = list[first:], list[used].first, 0, s.chain.Position
	s.window = newWindow(o.FS, o.Dir, s.list, !s.j.direct)
	s.window.buf = vfs.AlignedBytes(scrubWindow)
	return true
}

// startChain sets the chain to what stands before the first record of the sealed segments, and says which segment that
// is in. Below a snapshot what is kept is what leads there without a hole: what an interrupted DropBelow left before is
// not.
func (s *Scrubber) startChain(sealed []segmentInfo) (first int, ok bool) {
	s.found = nil
	if s.j.base > 0 {
		first = lastRun(sealed)
	}
	for ; first < len(sealed); first++ {
		start, ok := sealed[first].start()
		if ok {
			s.chain = start
			return first, true
		}
		s.errors.Inc()
		s.remember(fmt.Sprintf("the header of %s, the first segment: nothing tells where its records begin",
			segmentName(sealed[first].first)))
	}
	return 0, false
}

// endPass forgets what an earlier pass found and this one did not.
func (s *Scrubber) endPass() {
	if s.until == 0 {
		return
	}
	s.window.tape.close()
	s.until, s.list, s.window = 0, nil, nil
	s.mu.Lock()
	s.damage = s.found
	s.damaged.Set(uint64(len(s.damage)))
	s.mu.Unlock()
}

// step verifies records until it has done its share, or the pass is done.
func (s *Scrubber) step() (done bool, err error) {
	limit := s.options.Limit()
	s.window.limit = limit
	for from := s.chain.Position; s.chain.Position < from+scrubStep; {
		if s.chain.Position >= s.until || s.chain.Position >= limit {
			return true, nil
		}
		if err := s.checkHeader(); err != nil {
			return true, err
		}
		cause := s.next()
		switch {
		case cause == nil:
			continue
		case errors.Is(cause, errBeyond) && (s.stuck != s.chain.Position || s.stuckLimit != limit):
			s.stuck, s.stuckLimit = s.chain.Position, limit
			return true, nil
		case errors.Is(cause, os.ErrNotExist) && s.gone():
			return true, nil
		}
		return s.repair(cause, limit)
	}
	return false, nil
}

// gone says whether the log was shortened at its start meanwhile.
func (s *Scrubber) gone() bool {
	list, err := listSegments(s.j.options.FS, s.j.options.Dir)
	return err == nil && len(list) > 0 && list[0].first > s.chain.Position
}

// errBeyond says that a record goes on beyond the limit: it is not whole yet, or, if the limit is still the same in the
// next pass, its length is wrong.
var errBeyond = errors.New("the record would end behind the log")

// next verifies one record; the error says what is wrong with it.
func (s *Scrubber) next() error {
	var r wire.Record
	b, err := s.window.view(s.chain.Position, wire.RecordHeaderSize)
	n, verdict := s.chain.Verify(b, &r)
	if verdict == wire.VerdictShort && err == nil {
		b, err = s.window.view(s.chain.Position, n)
		_, verdict = s.chain.Verify(b, &r)
	}
	beyond := s.chain.Position+wire.Position(max(n, wire.RecordHeaderSize)) > s.window.limit
	switch {
	case verdict == wire.VerdictOK:
		return nil
	case verdict == wire.VerdictShort && errors.Is(err, io.EOF) && beyond:
		return errBeyond
	case verdict == wire.VerdictShort && err != nil:
		return err
	}
	return fmt.Errorf("record check: %s", verdict)
}

// checkHeader looks at the header of a segment whose records the pass has come to, and rewrites a bad one: all that it
// says is known from the segment before.
func (s *Scrubber) checkHeader() error {
	if s.checked >= len(s.list) || s.list[s.checked].first > s.chain.Position {
		return nil
	}
	seg := &s.list[s.checked]
	s.checked++
	if seg.first >= s.until || s.checked == 1 && seg.first > 0 || seg.state == blockValid && seg.header.chain == s.chain {
		return nil
	}
	s.errors.Inc()
	h := segmentHeader{s.j.options.Cluster, seg.first, seg.bytes, s.generation(), s.chain}
	p := patcher{fs: s.j.options.FS, dir: s.j.options.Dir, direct: s.j.direct}
	if err := p.writeHeader(seg, &h); errors.Is(err, os.ErrNotExist) && s.gone() {
		return nil
	} else if err != nil {
		return err
	}
	s.options.Alarm(fmt.Sprintf("scrub: rewrote the damaged header of %s", segmentName(seg.first)))
	return nil
}

// generation is a generation that headers of the list have.
func (s *Scrubber) generation() uint64 {
	g := uint64(1)
	for i := range s.list {
		if s.list[i].state == blockValid {
			g = max(g, s.list[i].header.generation)
		}
	}
	return g
}

// repair has the damage at the chain's end mended, if good records go on behind it, and steps over what stays damaged.
func (s *Scrubber) repair(cause error, limit wire.Position) (done bool, err error) {
	if s.gone() {
		return true, nil
	}
	s.errors.Inc()
	look := &scanned{segments: s.list, chain: s.chain}
	for i := range s.list {
		if seg := &s.list[i]; look.resumes == 0 && seg.end() > s.chain.Position {
			look.searchSegment(s.window, max(s.chain.Position, seg.first), min(seg.end(), limit))
		}
	}
	g := Gap{s.chain.Position, look.resumes}
	where, offset := look.place(g.From)
	what := fmt.Sprintf("%s offset %d, [%d, %d): %v", where, offset, g.From, g.Until, cause)
	if g.Until == 0 {
		s.remember(fmt.Sprintf("%s offset %d, from %d: %v; no good record follows", where, offset, g.From, cause))
		return true, nil
	}
	next, err := s.recordAt(g.Until)
	if err != nil { // it was there a moment ago: the next pass sees
		if !s.gone() {
			s.remember(fmt.Sprintf("%s; the record behind: %v", what, err))
		}
		return true, nil
	}
	err = s.mend(g, next)
	s.window.forget()
	if err == nil {
		s.j.count.mended.Add(uint64(g.Bytes()))
		if err = s.next(); err == nil {
			s.options.Alarm("scrub: mended " + what)
			return false, nil
		}
		err = fmt.Errorf("%w: it does not read back: %w", ErrMend, err)
	}
	if !errors.Is(err, ErrMend) {
		return true, err
	}
	if s.gone() { // while others were asked
		return true, nil
	}
	s.remember(what + ": " + err.Error())
	s.stepOver(g, next)
	return false, nil
}

// recordAt copies the good record at a position, and reads no more than that.
func (s *Scrubber) recordAt(at wire.Position) ([]byte, error) {
	b, err := s.window.view(at, wire.RecordHeaderSize)
	if len(b) < wire.RecordHeaderSize {
		return nil, cmp.Or(err, io.ErrUnexpectedEOF)
	}
	n := int(wire.Padded(min(wire.RecordLength(b), wire.MaxRecord)))
	if b, err = s.window.view(at, n); len(b) < n {
		return nil, cmp.Or(err, io.ErrUnexpectedEOF)
	}
	return slices.Clone(b[:n]), nil
}

// mend gets bytes for a gap and writes them. ErrMend: there are none.
func (s *Scrubber) mend(g Gap, next []byte) error {
	switch {
	case s.options.Mend == nil:
		return fmt.Errorf("%w: there is no other node", ErrMend)
	case g.Bytes() > MaxMend:
		return fmt.Errorf("%w: %d bytes, more than %d", ErrMend, g.Bytes(), MaxMend)
	}
	p := patcher{fs: s.j.options.FS, dir: s.j.options.Dir, segments: s.list, direct: s.j.direct, floor: s.floor}
	return s.options.Mend(g, func(b []byte) error {
		if err := verifyGap(g, s.chain, b, next); err != nil {
			return err
		}
		err := p.patch(g.From, b)
		if errors.Is(err, os.ErrNotExist) {
			err = fmt.Errorf("%w: %w", ErrMend, err) // for the next start to make anew
		}
		return err
	})
}

// stepOver goes on with the good record behind a gap.
func (s *Scrubber) stepOver(g Gap, next []byte) {
	var r wire.Record
	wire.DecodeRecord(next, &r)
	s.chain = wire.Chain{Position: g.Until, Sequence: r.Sequence - 1, Timestamp: r.Timestamp - 1,
		Checksum: r.PrevChecksum, Term: r.Term}
	for s.checked < len(s.list) && s.list[s.checked].first <= g.Until {
		s.checked++ // what such a header must say is not known
	}
}

// remember keeps a damage that stands, and says so.
func (s *Scrubber) remember(what string) {
	s.options.Alarm("scrub: damaged and not mended: " + what)
	if len(s.found) < maxDamage {
		s.found = append(s.found, what)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.damage) < maxDamage && !slices.Contains(s.damage, what) {
		s.damage = append(s.damage, what)
	}
	s.damaged.Set(uint64(len(s.damage)))
}
