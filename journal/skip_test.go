package journal

import (
	"testing"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// Apply must know of skip records before it comes to what they name: opening the log collects them.
func TestOpenFindsSkipRecords(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	r.append(1, 24)
	want := []wire.SkipAt{}
	for at := wire.Position(0); at < 3; at++ {
		skip := wire.SkipRecord{Position: at * 8}
		var b [wire.SkipRecordSize]byte
		r.appendRecord(1, wire.RecordSkip, b[:skip.Put(b[:])])
		want = append(want, wire.SkipAt{End: r.chain.Position, Position: at * 8})
		r.append(1, 100)
	}
	r.appendRecord(1, wire.RecordSkip, []byte("odd")) // names nothing
	r.sync()
	r.reopen()
	if len(r.rec.Skips) != len(want) {
		t.Fatalf("%+v, want %+v", r.rec.Skips, want)
	}
	for i := range want {
		if r.rec.Skips[i] != want[i] {
			t.Errorf("skip record %d: %+v, want %+v", i, r.rec.Skips[i], want[i])
		}
	}
}
