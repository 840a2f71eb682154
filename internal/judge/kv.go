package judge

import (
	"bytes"
	"fmt"

	"lockstep/internal/history"
	"lockstep/service/kv"
	"lockstep/wire"
)

// kvJuror judges the key/value store.
type kvJuror struct {
	ops     []history.KVOp
	watches map[wire.SessionID]map[string]bool
	told    int // of changes
	refused int
	over    []wire.SessionID // that ended with record since
	since   uint64
}

func newKV() *kvJuror { return &kvJuror{watches: map[wire.SessionID]map[string]bool{}} }

// KVOp completes an operation on the key/value store by its request and its answer, nil for one that is not known. false: it is
// none that a history is about, or was refused.
func KVOp(op *history.KVOp, request, answer []byte) bool {
	var q kv.Request
	if !kv.DecodeRequest(request, &q) {
		return false
	}
	op.Key, op.Value = string(q.Key), string(q.Value)
	switch q.Command {
	case kv.Get:
		op.Kind = history.KVGet
	case kv.Put:
		op.Kind = history.KVPut
	case kv.CompareAndSet:
		op.Kind, op.Guarded, op.Expect = history.KVSwap, true, q.Version
	case kv.Delete:
		op.Kind, op.Guarded, op.Expect = history.KVDelete, q.Version != 0, q.Version
	case kv.Range:
		op.Kind, op.Key, op.Until, op.Limit = history.KVRange, string(q.From), string(q.To), int(q.Limit)
		op.After, op.Bare = string(q.After), q.KeysOnly
	default:
		return false
	}
	return answer == nil || kvAnswer(op, answer)
}

// kvAnswer takes what came back; false when the operation was refused.
func kvAnswer(op *history.KVOp, answer []byte) bool {
	var p kv.Response
	if !kv.DecodeResponse(answer, &p) {
		return false
	}
	op.Answered = true
	op.Found = history.KVEntry{Key: op.Key, Version: p.Version, Value: string(p.Value)}
	switch p.Report {
	case kv.Stored:
		op.Done = true
	case kv.Deleted:
		op.Done = p.Previous != 0
	case kv.Entries:
		for i := range p.Entries {
			e := p.Entry(i)
			op.Entries = append(op.Entries, history.KVEntry{Key: string(e.Key), Version: e.Version, Value: string(e.Value)})
		}
		op.More = p.More
	case kv.Refused:
		return false
	}
	return true
}

// message implements juror.
func (k *kvJuror) message(at history.Moment, session wire.SessionID, payload []byte, said []Output) error {
	var q kv.Request
	k.forget(at)
	if !kv.DecodeRequest(payload, &q) {
		return only(said, session)
	}
	if len(said) == 0 || said[0].Session != session {
		return fmt.Errorf("kv: %v has no answer", q.Command)
	}
	if q.Command == kv.Watch {
		k.watch(session, &q, said[0].Payload)
		return only(said, session)
	}
	op := history.KVOp{Op: history.Op{ID: fmt.Sprintf("%v of session %x", q.Command, session), Sequence: at.Sequence}}
	if !KVOp(&op, payload, said[0].Payload) {
		k.refused++
		return only(said, session)
	}
	k.ops = append(k.ops, op)
	return k.changes(at, &op, said[1:])
}

// only says whether there is one response, to a session.
func only(said []Output, session wire.SessionID) error {
	if len(said) != 1 || said[0].Session != session {
		return fmt.Errorf("%d responses, want one, to session %x", len(said), session)
	}
	return nil
}

func (k *kvJuror) watch(session wire.SessionID, q *kv.Request, answer []byte) {
	var p kv.Response
	if !kv.DecodeResponse(answer, &p) || p.Report != kv.Watching {
		return
	}
	if k.watches[session] == nil {
		k.watches[session] = map[string]bool{}
	}
	if prefix := string(q.Key); p.On {
		k.watches[session][prefix] = true
	} else {
		delete(k.watches[session], prefix)
	}
}

// changes holds what watchers are told against what was changed.
func (k *kvJuror) changes(at history.Moment, op *history.KVOp, told []Output) error {
	want := 0
	if op.Done {
		for _, prefixes := range k.watches {
			if covers(prefixes, op.Key) {
				want++
			}
		}
	}
	if len(told) != want {
		return fmt.Errorf("kv: %d sessions hear of %q, and %d watch it", len(told), op.Key, want)
	}
	for i := range told {
		var p kv.Response
		switch ok := kv.DecodeResponse(told[i].Payload, &p); {
		case !ok || p.Report != kv.Changed || !bytes.Equal(p.Key, []byte(op.Key)) || p.Version != at.Sequence ||
			p.Deleted != (op.Kind == history.KVDelete) || !p.Deleted && !p.LeftOut && string(p.Value) != op.Value:
			return fmt.Errorf("kv: session %x hears of %q as %+v", told[i].Session, op.Key, p)
		case !covers(k.watches[told[i].Session], op.Key):
			return fmt.Errorf("kv: session %x hears of %q, and does not watch it", told[i].Session, op.Key)
		}
	}
	k.told += len(told)
	return nil
}

func covers(prefixes map[string]bool, key string) bool {
	for n := range len(key) + 1 {
		if prefixes[key[:n]] {
			return true
		}
	}
	return false
}

func (k *kvJuror) refuses(answer []byte) bool {
	var p kv.Response
	return !kv.DecodeResponse(answer, &p) || p.Report == kv.Conflict || p.Report == kv.Refused
}

func (k *kvJuror) others(_ history.Moment, said []Output) error {
	return fmt.Errorf("kv: it says %d things, and nobody asked for them", len(said))
}

func (k *kvJuror) closed(at history.Moment, session wire.SessionID) {
	k.forget(at)
	k.over, k.since = append(k.over, session), at.Sequence
}

// forget forgets the watches of sessions that were over before a record.
func (k *kvJuror) forget(at history.Moment) {
	if k.since == at.Sequence {
		return
	}
	for _, session := range k.over {
		delete(k.watches, session)
	}
	k.over = k.over[:0]
}

func (k *kvJuror) end(uint64) error { return history.ReplayKV(k.ops) }
