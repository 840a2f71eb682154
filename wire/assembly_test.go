package wire

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// Whatever parts come in whatever order: what is there without a hole is what was sent, and once every byte has come in
// parts cut as PutMessage cuts them, or in order, the payload is whole.
func TestAssembly(t *testing.T) {
	var a Assembly // used again and again, as its owners do
	rapid.Check(t, func(r *rapid.T) {
		payload := make([]byte, rapid.IntRange(1, 5000).Draw(r, "total"))
		for i := range payload {
			payload[i] = byte(i) ^ byte(i>>8)*7 ^ byte(len(payload))
		}
		a.Begin(uint32(len(payload)), 0)
		step := rapid.IntRange(1, 200).Draw(r, "units") * 8
		var offsets []int
		for at := 0; at < len(payload); at += step {
			offsets = append(offsets, at)
		}
		check := func() {
			if int(a.Have()) > len(payload) || !bytes.Equal(a.Payload(), payload[:a.Have()]) {
				r.Fatalf("%d bytes are there, and not those that were sent", a.Have())
			}
		}
		for _, at := range rapid.Permutation(offsets).Draw(r, "order") {
			if rapid.IntRange(0, 3).Draw(r, "odd") == 0 { // and some cut anywhere
				from := rapid.IntRange(0, len(payload)-1).Draw(r, "from")
				a.Add(uint32(from), payload[from:rapid.IntRange(from+1, len(payload)).Draw(r, "to")])
				check()
			}
			a.Add(uint32(at), payload[at:min(at+step, len(payload))])
			check()
			if a.Add(uint32(at), payload[at:min(at+step, len(payload))]) {
				r.Fatal("a part is news twice")
			}
		}
		if !a.Whole() {
			r.Fatalf("%d of %d bytes are there", a.Have(), len(payload))
		}
	})
}
