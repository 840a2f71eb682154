package journal

import "testing"

// The goroutine that prepares a segment rests while it is ahead of the log, and not when it is behind.
func TestPreparingRestsOnlyWhileItIsAhead(t *testing.T) {
	k := worker{preparer: &preparer{done: 1 << 20}, rouse: make(chan struct{}, 1)}
	k.used.Store(1 << 20)
	k.rouse <- struct{}{}
	k.rest()
	if len(k.rouse) != 1 {
		t.Error("it rests although the log has taken as much of the segment before as is prepared of the next")
	}
	k.used.Store(1 << 18)
	k.rest()
	if len(k.rouse) != 0 {
		t.Error("it does not rest although it is far ahead")
	}
}
