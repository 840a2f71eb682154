package command

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service"
	"lockstep/service/fb"
)

// TestWordsOfATransaction: each argument is the message that the subcommand would send.
func TestWordsOfATransaction(t *testing.T) {
	got, err := encodeTransaction([]string{"order new --side buy --price 3 --quantity 4"})
	alone, _ := orderShell().encode([]string{"new", "--side", "buy", "--price", "3", "--quantity", "4"})
	want := service.TransactionRequest(flatbuffers.NewBuilder(64), []service.Part{{Service: service.OrderBook, Payload: alone}})
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x, %v; want %x", got, err, want)
	}
	many := make([]string, service.MaxCommands+1)
	for i := range many {
		many[i] = "order cancel"
	}
	for _, commands := range [][]string{{""}, {"frob"}, {"transaction x"}, {"order"}, {"order frob"}, {"order 'new"}, many} {
		if _, err := encodeTransaction(commands); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v", commands, err)
		}
	}
}

// TestOutcomesArePrinted for people and as JSON, refusals as their service says them.
func TestOutcomesArePrinted(t *testing.T) {
	for _, c := range []struct {
		outcome service.Outcome
		done    bool
		text    string
		json    string
	}{
		{service.Outcome{Committed: true, Count: 2}, true, "committed: 2 commands are done\n", `{"outcome":"committed","count":2}`},
		{service.Outcome{Index: 1, Service: 6, Reason: fb.AbortReasonNotTransactional}, false,
			"aborted, nothing is done: command 2, for timer: NotTransactional\n",
			`{"outcome":"aborted","command":2,"service":"timer","reason":"NotTransactional"}`},
		{service.Outcome{Service: 11, Reason: fb.AbortReasonRefused, Refusal: []byte("no")}, false,
			"aborted, nothing is done: command 1, for 11: Refused\n",
			`{"outcome":"aborted","command":1,"service":"11","reason":"Refused"}`},
	} {
		payload := service.EncodeOutcome(flatbuffers.NewBuilder(64), &c.outcome)
		for asJSON, want := range map[bool]string{false: c.text, true: c.json + "\n"} {
			var b strings.Builder
			if done := printOutcome(&b, payload, asJSON); done != c.done || b.String() != want {
				t.Errorf("%+v: %v, %q, want %q", c.outcome, done, b.String(), want)
			}
		}
	}
	if printOutcome(&strings.Builder{}, []byte("none"), false) {
		t.Error("what is no outcome is one")
	}
}
