package command

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/spf13/cobra"

	"lockstep/internal/inspect"
	"lockstep/service"
	"lockstep/service/fb"
)

// transactionShell is transactions as the shell knows them: their answers. It has no verbs, and cannot stand in a transaction.
func transactionShell() *shellService {
	return &shellService{number: service.Transaction, name: "transaction", print: printOutcome}
}

func transactionCommand() *cobra.Command {
	var f shellFlags
	c := &cobra.Command{
		Use:   "transaction COMMAND...",
		Short: "Send commands for several services as one: all of them are done, or none is",
		Long: `Send commands for several services as one message: all of them are done, or none is. Each argument is what would stand
behind lockstep to send that command alone, without the flags that say where the cluster is. At most one for each service, and
at most 8. Each service checks its own first; if one refuses, nothing is done, and what it would have answered is printed.
` + shellExits,
		Example: `  lockstep transaction 'lock acquire stock --ttl 10s' 'queue put jobs pack' 'order new --side buy --price 100 --quantity 5'
  lockstep transaction 'kv put owner me' 'order cancel --client-order 9' || test $? = 3   # no such order: nothing is put`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			payload, err := encodeTransaction(args)
			if err != nil {
				return err
			}
			return f.run(c, func(s *shell) error {
				if err := s.send(c.Context(), service.Transaction, payload); err != nil {
					return err
				}
				return s.stay(c.Context())
			})
		},
	}
	f.register(c.Flags(), "lockstep transaction")
	return c
}

// encodeTransaction makes the message of commands in words.
func encodeTransaction(commands []string) ([]byte, error) {
	if len(commands) > service.MaxCommands {
		return nil, fmt.Errorf("%w: %d commands: a transaction has %d at most", errUsage, len(commands), service.MaxCommands)
	}
	var parts []service.Part
	for _, command := range commands {
		words, err := shellWords(command)
		if err != nil {
			return nil, err
		}
		v := shellServiceNamed(words)
		if v == nil {
			return nil, fmt.Errorf("%w: %q: want a service and what it is to do: %s", errUsage, command, shellNames())
		}
		payload, err := v.encode(words[1:])
		if err != nil {
			return nil, err
		}
		parts = append(parts, service.Part{Service: v.number, Payload: payload})
	}
	return service.TransactionRequest(flatbuffers.NewBuilder(1024), parts), nil
}

// shellServiceNamed is the service that the first word names; nil: there is none that has verbs.
func shellServiceNamed(words []string) *shellService {
	for _, v := range shellServices() {
		if len(words) > 0 && v.name == words[0] && len(v.verbs) > 0 {
			return v
		}
	}
	return nil
}

func shellNames() string {
	var names []string
	for _, v := range shellServices() {
		if len(v.verbs) > 0 {
			names = append(names, v.name)
		}
	}
	return strings.Join(names, ", ")
}

// outcomeJSON is an outcome as one JSON object.
type outcomeJSON struct {
	Outcome string          `json:"outcome"` // committed, aborted
	Count   int             `json:"count,omitempty"`
	Command int             `json:"command,omitempty"` // from 1: the one that is refused
	Service string          `json:"service,omitempty"` // for which that is
	Reason  string          `json:"reason,omitempty"`
	Refusal json.RawMessage `json:"refusal,omitempty"`
}

// printOutcome prints what became of a transaction.
func printOutcome(w io.Writer, payload []byte, asJSON bool) bool {
	var o service.Outcome
	if !service.DecodeOutcome(payload, &o) {
		fmt.Fprintf(w, "no outcome of a transaction: %x\n", payload)
		return false
	}
	var refusal strings.Builder
	if v := shellServiceOf(o.Service); o.Reason == fb.AbortReasonRefused && v != nil && len(o.Refusal) > 0 {
		v.print(&refusal, o.Refusal, asJSON)
	}
	switch {
	case asJSON && o.Committed:
		_ = json.NewEncoder(w).Encode(&outcomeJSON{Outcome: "committed", Count: o.Count})
	case asJSON:
		x := outcomeJSON{Outcome: "aborted", Command: o.Index + 1, Service: inspect.ServiceName(int(o.Service)), Reason: o.Reason.String()}
		if text := strings.TrimSpace(refusal.String()); json.Valid([]byte(text)) {
			x.Refusal = json.RawMessage(text)
		}
		_ = json.NewEncoder(w).Encode(&x)
	case o.Committed:
		fmt.Fprintf(w, "committed: %d commands are done\n", o.Count)
	default:
		fmt.Fprintf(w, "aborted, nothing is done: command %d, for %s: %v\n%s", o.Index+1, inspect.ServiceName(int(o.Service)), o.Reason,
			refusal.String())
	}
	return o.Committed
}
