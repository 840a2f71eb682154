package service

import (
	"runtime"
	"testing"
	"time"
)

// TestTheNextQuestionMayFollowTheAnswer holds an answer back: the place for questions is free before it is given.
func TestTheNextQuestionMayFollowTheAnswer(t *testing.T) {
	d := &Driver{table: newTable(Limits{}), closed: newClosedSessions()}
	q := &inspection{done: make(chan []SessionInfo)}
	d.inspections.slot.Store(q)
	ended := make(chan struct{})
	go func() { defer close(ended); d.inspect() }()
	for deadline := time.Now().Add(10 * time.Second); d.inspections.slot.Load() != nil; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Error("the place is taken until the answer is")
			break
		}
	}
	<-q.done
	<-ended
}
