package client

import (
	"context"
	"fmt"

	"lockstep/wire"
)

// Void settles a message of which Submit said ErrUnknown: the cluster is asked to sequence nothing in its place. It returns
// when the message's outcome is certain: with a *RefusedError of RefusalVoided if it never takes effect, with the message's
// own result, as of LevelApplied, if it came before the void. ErrNotOpen: it has been settled already, or there is no such
// message. When ctx or the session ends first the error is ErrUnknown, and the void may still do its work. A Submit that
// waits for the message ends as Void does.
func (k *Conn) Void(ctx context.Context, correlation uint64) (Result, error) {
	k.mu.Lock()
	if err := k.client.Void(correlation); err != nil {
		k.mu.Unlock()
		return Result{}, fmt.Errorf("message %d: %w", correlation, err)
	}
	s := k.submits[correlation]
	if s == nil {
		s = &submit{level: wire.LevelApplied, done: make(chan struct{})}
		s.result.Correlation = correlation
		k.submits[correlation] = s
	}
	s.waiting++
	k.pollLocked(k.clock.NowNs())
	k.parker.WakeIfParked()
	k.mu.Unlock()
	return k.await(ctx, s)
}

// await returns when a message's outcome is known, or ctx has ended.
func (k *Conn) await(ctx context.Context, s *submit) (Result, error) {
	select {
	case <-s.done:
		return s.result, s.err
	case <-ctx.Done():
	}
	k.mu.Lock()
	if s.waiting--; s.waiting == 0 {
		delete(k.submits, s.result.Correlation)
	}
	k.mu.Unlock()
	select {
	case <-s.done: // it came at the last moment
		return s.result, s.err
	default:
		return s.result, fmt.Errorf("message %d: %w: %w", s.result.Correlation, ErrUnknown, context.Cause(ctx))
	}
}
