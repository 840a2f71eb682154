package mixflow

import (
	"bytes"

	"lockstep/service/kv"
)

// kvFlow knows the versions of which it has heard.
type kvFlow struct {
	draw
	versions map[string]uint64
	request  kv.Request
	response kv.Response
}

// NewKV draws commands for the key/value store.
func NewKV(o Options) Flow { return &kvFlow{draw: newDraw(o), versions: map[string]uint64{}} }

// Next implements Flow.
func (f *kvFlow) Next() []byte {
	q := kv.Request{Key: f.name("key-")}
	switch n := f.IntN(100); {
	case n < 25:
		q.Command, q.Value = kv.Put, f.value()
	case n < 50:
		q.Command = kv.Get
	case n < 78:
		q.Command, q.Value, q.Version = kv.CompareAndSet, f.value(), f.versions[string(q.Key)]
	case n < 88:
		q.Command = kv.Delete
		if f.odds(60) {
			q.Version = f.versions[string(q.Key)]
		}
	case n < 97:
		q = kv.Request{Command: kv.Range, Limit: f.Uint32N(4), KeysOnly: f.odds(10)}
		if f.odds(50) {
			q.From, q.To = f.name("key-"), f.name("key-")
		}
		if f.odds(20) {
			q.After = f.name("key-")
		}
	default:
		q.Command, q.On = kv.Watch, f.odds(40)
		q.Key = q.Key[:f.IntN(len(q.Key)+1)]
	}
	return kv.EncodeRequest(f.builder, &q)
}

// Heard implements Flow.
func (f *kvFlow) Heard(request, response []byte) {
	if !kv.DecodeResponse(response, &f.response) {
		return
	}
	key := f.response.Key
	if request != nil && kv.DecodeRequest(request, &f.request) {
		key = f.request.Key
	}
	switch f.response.Report {
	case kv.Found, kv.Stored, kv.Conflict, kv.Absent, kv.Deleted:
		f.versions[string(key)] = f.response.Version
	case kv.Changed:
		f.versions[string(bytes.Clone(key))] = f.response.Version
	}
}
