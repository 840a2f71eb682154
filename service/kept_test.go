package service

import (
	"bytes"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"lockstep/wire"
)

// What is kept is what a list with a sum would keep, through any number of wraps of both rings.
func TestKeptAgainstAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := newKept(&Limits{KeptResponses: 64, KeptBytes: 4096})
		start := rapid.SampledFrom([]uint64{0, 1<<32 - 3, 1<<40 + 5}).Draw(t, "start")
		k.acked, k.last = start, start
		type response struct {
			number  uint64
			payload []byte
		}
		var list []response
		last, total := start, 0
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "push") {
				payload := bytes.Repeat([]byte{byte(last)}, rapid.SampledFrom([]int{0, 1, 40, 300, 700}).Draw(t, "length"))
				want := len(list) < 64 && total+len(payload) <= 4096
				head := Egress{Correlation: last}
				if k.push(&head, payload) != want {
					t.Fatalf("%d kept with %d bytes: push of %d bytes gives %v", len(list), total, len(payload), !want)
				}
				if want {
					last++
					list = append(list, response{last, payload})
					total += len(payload)
					if head.Response != last {
						t.Fatalf("number %d, want %d", head.Response, last)
					}
				}
			} else {
				ack := last - rapid.Uint64Range(0, 9).Draw(t, "behind")
				at := slices.IndexFunc(list, func(r response) bool { return r.number == ack })
				k.drop(uint32(ack))
				for _, r := range list[:at+1] {
					total -= len(r.payload)
				}
				list = list[at+1:]
				if k.drop(uint32(last + 1)) {
					t.Fatal("an acknowledgement of what was never sent is taken")
				}
			}
			if k.last != last || k.last-k.acked != uint64(len(list)) {
				t.Fatalf("kept (%d, %d], want %d up to %d", k.acked, k.last, len(list), last)
			}
			for _, r := range list {
				got := k.at(r.number)
				b := make([]byte, got.length)
				k.payload(got, b)
				if !bytes.Equal(b, r.payload) || got.correlation != r.number-1 {
					t.Fatalf("number %d: %v of correlation %d, want %v", r.number, b, got.correlation, r.payload)
				}
			}
		}
	})
}

// A position and a hash that are read together were written together.
func TestReportIsReadWhole(t *testing.T) {
	var r report
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := uint64(1); ; n++ {
			select {
			case <-stop:
				return
			default:
				r.set(wire.Position(n), n*n)
			}
		}
	})
	for range 300000 {
		if at, hash := r.get(); uint64(at)*uint64(at) != hash {
			t.Errorf("position %d with the hash of another", at)
			break
		}
	}
	close(stop)
	writer.Wait()
}

// The hash depends on every byte, on lengths, and on where one thing ends and the next begins.
func TestMixBytesTellsThingsApart(t *testing.T) {
	seen := map[uint64]string{}
	for _, s := range []string{
		"", "\x00", "\x00\x00", "a", "b", "ab", "abcdefgh", "abcdefg\x00", "abcdefgh\x00", "abcdefghi",
	} {
		h := MixBytes(0, []byte(s))
		if other, ok := seen[h]; ok {
			t.Errorf("%q and %q have the same hash", s, other)
		}
		seen[h] = s
	}
	if MixBytes(MixBytes(0, []byte("ab")), []byte("c")) == MixBytes(MixBytes(0, []byte("a")), []byte("bc")) {
		t.Error("the hash does not see where one thing ends")
	}
}
