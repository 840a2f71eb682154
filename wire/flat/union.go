package flat

import flatbuffers "github.com/google/flatbuffers/go"

// Fields of a table that is one union, in its vtable.
const (
	slotType  = 4
	slotValue = 6
)

// Open verifies a table that is one union, Table{UnionType, Union(...)}, and points of to the union's value. kind is its
// type: one of those of t, from 1. It reports false, and leaves of as it is, when b does not verify.
func Open(b []byte, t Table, of *flatbuffers.Table) (kind byte, ok bool) {
	if !Verify(b, t) {
		return 0, false
	}
	root := flatbuffers.Table{Bytes: b, Pos: flatbuffers.GetUOffsetT(b)}
	root.Union(of, flatbuffers.UOffsetT(root.Offset(slotValue)))
	return root.GetByteSlot(slotType, 0), true
}

// Finish ends a buffer with a table that is one union, of which the builder has the value already. What it returns is
// good until the builder's next use.
func Finish(b *flatbuffers.Builder, kind byte, value flatbuffers.UOffsetT) []byte {
	b.StartObject(2)
	b.PrependUOffsetTSlot(1, value, 0)
	b.PrependByteSlot(0, kind, 0)
	b.Finish(b.EndObject())
	return b.FinishedBytes()
}
