package echo_test

import (
	"bytes"
	"testing"

	"lockstep/service"
	"lockstep/service/echo"
	"lockstep/wire"
)

func TestAnswersWithThePayload(t *testing.T) {
	var s echo.Service
	ctx := service.NewContext()
	for _, payload := range []string{"", "x", "something longer"} {
		r := wire.Record{Session: 7}
		ctx.Begin(&r)
		s.Apply(ctx, &r, []byte(payload))
		answers := 0
		ctx.Responses(func(to wire.SessionID, b []byte) {
			answers++
			if to != 7 || string(b) != payload {
				t.Errorf("%q answered with %q to %d", payload, b, to)
			}
		})
		if answers != 1 {
			t.Errorf("%d answers", answers)
		}
	}
}

func TestSnapshotKeepsTheState(t *testing.T) {
	var s, restored echo.Service
	r := wire.Record{Session: 1}
	ctx := service.NewContext()
	for range 5 {
		ctx.Begin(&r)
		s.Apply(ctx, &r, nil)
	}
	var b bytes.Buffer
	if err := s.Snapshot(&b); err != nil {
		t.Fatal(err)
	}
	if err := restored.Restore(bytes.NewReader(b.Bytes())); err != nil {
		t.Fatal(err)
	}
	if restored.Hash() != s.Hash() || restored.Hash() == (&echo.Service{}).Hash() {
		t.Errorf("hash %x before, %x after", s.Hash(), restored.Hash())
	}
	if err := restored.Restore(bytes.NewReader(b.Bytes()[:7])); err == nil {
		t.Error("a snapshot that is cut short is restored")
	}
}
