package replica

import (
	"context"
	"errors"
	"sync/atomic"

	"lockstep/wire"
)

// Fetch streams the log bytes [from, until) of a node, in order, into sink, until all are there, ctx ends, or an
// error. What the server has not committed it gives only as the leader of term. It runs on a goroutine of its own;
// package node implements it over HTTP.
type Fetch func(ctx context.Context, server wire.NodeID, term wire.Term, from, until wire.Position,
	sink func([]byte) error) error

// chunk is a piece of a catch-up, or its failure.
type chunk struct {
	generation uint64
	from       wire.Position
	bytes      []byte
	failed     bool
}

// CatchUpPort joins the replica's thread to the goroutine that fetches. Rare and bulky: it may allocate.
type CatchUpPort struct {
	ctx     context.Context
	fetch   Fetch
	inline  bool
	log     func(format string, args ...any)
	chunks  chan chunk
	head    chunk
	hasHead bool
	pending atomic.Int64 // chunks in the channel: the hot thread looks here, not at the channel
	cancel  context.CancelFunc
	server  wire.NodeID   // of the newest fetch
	until   wire.Position // where it ends
}

// chunkSlots bounds what a fetch is ahead of the ring.
const chunkSlots = 64

// errNoRoom ends a fetch that must not wait for room: what is missing is fetched again.
var errNoRoom = errors.New("no room for more now")

// NewCatchUpPort returns a port whose fetches end with ctx. Inline, a fetch runs on the replica's own goroutine and
// never waits; else each has a goroutine of its own.
func NewCatchUpPort(ctx context.Context, fetch Fetch, inline bool, log func(string, ...any)) *CatchUpPort {
	// One slot more than chunks may take: a failure always finds room.
	return &CatchUpPort{ctx: ctx, fetch: fetch, inline: inline, log: log, chunks: make(chan chunk, chunkSlots+1)}
}

// start begins the catch-up that the core asks for and ends the one before it.
func (p *CatchUpPort) start(out *Output) {
	if p.cancel != nil {
		p.cancel()
	}
	ctx, cancel := context.WithCancel(p.ctx)
	p.cancel, p.server, p.until = cancel, out.To, out.Until
	if p.inline {
		p.bring(ctx, *out)
	} else {
		go p.bring(ctx, *out)
	}
}

func (p *CatchUpPort) bring(ctx context.Context, out Output) {
	server, generation := out.To, out.Generation
	p.log("catching up from node %d: [%d, %d)", server, out.From, out.Until)
	at := out.From
	err := p.fetch(ctx, server, out.Term, out.From, out.Until, func(b []byte) error {
		c := chunk{generation: generation, from: at, bytes: append([]byte(nil), b...)}
		at += wire.Position(len(b))
		return p.put(ctx, c)
	})
	if err != nil && ctx.Err() == nil {
		p.log("catching up from node %d stopped at %d: %v", server, at, err)
		_ = p.put(ctx, chunk{generation: generation, failed: true})
	}
}

func (p *CatchUpPort) put(ctx context.Context, c chunk) error {
	if p.inline && !c.failed && len(p.chunks) >= chunkSlots {
		return errNoRoom
	}
	select {
	case p.chunks <- c:
		p.pending.Add(1)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// peek returns the oldest chunk, nil when there is none.
func (p *CatchUpPort) peek() *chunk {
	if !p.hasHead {
		if p.pending.Load() == 0 {
			return nil
		}
		p.head, p.hasHead = <-p.chunks, true
		p.pending.Add(-1)
	}
	return &p.head
}

func (p *CatchUpPort) advance() { p.head, p.hasHead = chunk{}, false }
