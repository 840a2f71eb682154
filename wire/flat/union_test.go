package flat

import (
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
)

var commandTable = Table{UnionType, Union(putTable, leafTable)}

const kindLeaf = 2

// What is finished is opened again: its type, and its value.
func TestUnionsThatAreFinishedOpen(t *testing.T) {
	b := flatbuffers.NewBuilder(64)
	payload := Finish(b, kindLeaf, leaf(b, "a leaf"))
	var of flatbuffers.Table
	kind, ok := Open(payload, commandTable, &of)
	if !ok || kind != kindLeaf {
		t.Fatalf("%v, of type %d", ok, kind)
	}
	if s := of.String(flatbuffers.UOffsetT(of.Offset(4)) + of.Pos); s != "a leaf" {
		t.Errorf("the value has %q", s)
	}
	for n := range payload {
		if _, ok := Open(payload[:n:n], commandTable, &of); ok && n < len(payload)-3 { // the rest is padding
			t.Errorf("%d of %d bytes open", n, len(payload))
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		b.Reset()
		if _, ok := Open(Finish(b, kindLeaf, leaf(b, "a leaf")), commandTable, &of); !ok {
			t.Fatal("it does not open")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestUnionsOfNoTypeDoNotOpen(t *testing.T) {
	b := flatbuffers.NewBuilder(64)
	for _, kind := range []byte{0, 3, 255} {
		b.Reset()
		var of flatbuffers.Table
		if got, ok := Open(Finish(b, kind, leaf(b, "a leaf")), commandTable, &of); ok || got != 0 || of.Bytes != nil {
			t.Errorf("type %d opens as %d", kind, got)
		}
	}
	b.Reset()
	var of flatbuffers.Table
	if _, ok := Open(Finish(b, kindLeaf, 0), commandTable, &of); ok {
		t.Error("a union without a value opens")
	}
}
