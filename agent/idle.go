package agent

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Idle is what a thread does between two duty cycles. It belongs to one thread.
type Idle interface {
	// Idle is told how much work the last cycle did, and waits in its own way if that was none.
	Idle(work int)
}

// IdleKind names an idle strategy.
type IdleKind uint8

// The idle strategies.
const (
	// IdleSpin executes PAUSE: the fastest, and it takes the whole core. For isolated cores.
	IdleSpin IdleKind = iota + 1
	// IdleYield calls sched_yield: as fast while nobody else wants the core. For shared cores, one thread a node.
	IdleYield
	// IdlePark blocks in poll until something arrives: saves power, costs a wake-up.
	IdlePark
)

// String is the word that stands in a config file.
func (k IdleKind) String() string {
	switch k {
	case IdleSpin:
		return "spin"
	case IdleYield:
		return "yield"
	case IdlePark:
		return "park"
	}
	return fmt.Sprintf("IdleKind(%d)", uint8(k))
}

// ParseIdleKind reads the word that stands in a config file.
func ParseIdleKind(word string) (IdleKind, error) {
	for k := IdleSpin; k <= IdlePark; k++ {
		if word == k.String() {
			return k, nil
		}
	}
	return 0, fmt.Errorf("agent: idle strategy %q: want spin, yield or park", word)
}

// NewIdle makes an idle strategy. IdlePark needs the parker to block on and the longest time to do so, in
// nanoseconds; the others ignore both.
func NewIdle(kind IdleKind, parker *Parker, maxParkNs int64) (Idle, error) {
	switch kind {
	case IdleSpin:
		return Spin{}, nil
	case IdleYield:
		return Yield{}, nil
	case IdlePark:
		if parker == nil || maxParkNs <= 0 {
			return nil, fmt.Errorf("agent: idle strategy park needs a parker, and a longest time above zero")
		}
		return NewPark(parker, maxParkNs), nil
	}
	return nil, fmt.Errorf("agent: no idle strategy %s", kind)
}

// pauses is how many PAUSE instructions a spinning thread executes between two cycles: few, since what it waits
// for is a cache line that changes.
const pauses = 2

// Spin executes PAUSE.
type Spin struct{}

// Idle waits for some tens of nanoseconds.
func (Spin) Idle(work int) {
	if work == 0 {
		procyield(pauses)
	}
}

// Yield lets other threads of the machine have the core.
type Yield struct{}

// Idle calls sched_yield, past the Go scheduler, so that a pinned thread may.
func (Yield) Idle(work int) {
	if work == 0 {
		_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	}
}

// NoIdle does nothing: for an agent that blocks in its own DoWork.
type NoIdle struct{}

// Idle does nothing.
func (NoIdle) Idle(int) {}

// Park blocks on a Parker. The first cycle without work announces it, the next cycle is the second look, and if that
// finds nothing either the thread blocks.
type Park struct {
	parker    *Parker
	maxNs     int64
	announced bool
	gaps      *gaps // of the runner, with its clock; nil: none
	clock     Clock
}

// NewPark makes a strategy that blocks for at most maxNs nanoseconds at a time: as late as that a deadline that the
// agents look at in DoWork may be noticed.
func NewPark(parker *Parker, maxNs int64) *Park { return &Park{parker: parker, maxNs: maxNs} }

// Idle announces, or blocks after the announcement, or withdraws it when there was work.
func (p *Park) Idle(work int) {
	switch {
	case work > 0:
		if p.announced {
			p.announced = false
			p.parker.Withdraw()
		}
	case !p.announced:
		p.announced = true
		p.parker.Announce()
	default:
		p.announced = false
		if p.gaps != nil {
			p.gaps.blocks(p.clock.NowNs())
		}
		p.parker.Block(p.maxNs)
	}
}

// Wake ends the wait.
func (p *Park) Wake() { p.parker.Wake() }
