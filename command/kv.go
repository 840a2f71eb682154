package command

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf8"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/spf13/cobra"

	"lockstep/service"
	"lockstep/service/kv"
)

// kvShell is the key/value store as the shell knows it.
func kvShell() *shellService {
	return &shellService{number: service.KV, name: "kv", print: printKV,
		verbs: []func() shellVerb{kvGetVerb, kvPutVerb, kvCASVerb, kvDeleteVerb, kvRangeVerb, kvWatchVerb}}
}

func kvCommand() *cobra.Command {
	var f shellFlags
	return shellGroup(kvShell(), &f, &cobra.Command{
		Use:   "kv",
		Short: "Use the key/value store from the shell",
		Long: `Use the key/value store from the shell. Keys are in the order of their bytes. A key's version is the number of
the record that changed it last; 0 stands for a key that is not there.`,
		Example: `  lockstep kv put motd 'all is well'
  lockstep lab exec -- lockstep kv get motd`,
	})
}

// kvVerb is a verb whose arguments are taken in by read.
func kvVerb(c *cobra.Command, q *kv.Request, read func(args []string)) shellVerb {
	return shellVerb{command: c, watches: q.Command == kv.Watch, encode: func(args []string) ([]byte, error) {
		read(args)
		if len(q.Key) > kv.MaxKey || len(q.Value) > kv.MaxValue {
			return nil, fmt.Errorf("%w: a key has %d bytes at most, a value %d", errUsage, kv.MaxKey, kv.MaxValue)
		}
		return kv.EncodeRequest(flatbuffers.NewBuilder(256), q), nil
	}}
}

func kvGetVerb() shellVerb {
	q := kv.Request{Command: kv.Get}
	c := &cobra.Command{
		Use:   "get KEY",
		Short: "Print the value of a key; exit code 3: it is not there",
		Example: `  lockstep kv put colour blue
  test "$(lockstep kv get colour)" = blue
  lockstep kv get nothing || test $? = 3`,
		Args: cobra.ExactArgs(1),
	}
	return kvVerb(c, &q, func(args []string) { q.Key = []byte(args[0]) })
}

func kvPutVerb() shellVerb {
	q := kv.Request{Command: kv.Put}
	c := &cobra.Command{
		Use:     "put KEY VALUE",
		Short:   "Give a key a value",
		Example: "  lockstep kv put colour blue",
		Args:    cobra.ExactArgs(2),
	}
	return kvVerb(c, &q, func(args []string) { q.Key, q.Value = []byte(args[0]), []byte(args[1]) })
}

func kvCASVerb() shellVerb {
	q := kv.Request{Command: kv.CompareAndSet}
	c := &cobra.Command{
		Use:   "cas KEY VALUE --version N",
		Short: "Give a key a value if its version is N; exit code 3: it is not, and the answer says what is there",
		Example: `  version=$(lockstep kv put colour blue | sed 's/^version \([0-9]*\).*/\1/')
  lockstep kv cas colour green --version $version
  lockstep kv cas colour red --version $version || test $? = 3`,
		Args: cobra.ExactArgs(2),
	}
	c.Flags().Uint64Var(&q.Version, "version", 0, "version that the key must have; 0: it must not be there")
	_ = c.MarkFlagRequired("version")
	return kvVerb(c, &q, func(args []string) { q.Key, q.Value = []byte(args[0]), []byte(args[1]) })
}

func kvDeleteVerb() shellVerb {
	q := kv.Request{Command: kv.Delete}
	c := &cobra.Command{
		Use:   "delete KEY",
		Short: "Delete a key, if it is there",
		Example: `  lockstep kv put colour blue
  lockstep kv delete colour`,
		Args: cobra.ExactArgs(1),
	}
	c.Flags().Uint64Var(&q.Version, "version", 0, "only if the key's version is this one; 0: whatever it is")
	return kvVerb(c, &q, func(args []string) { q.Key = []byte(args[0]) })
}

func kvRangeVerb() shellVerb {
	q := kv.Request{Command: kv.Range}
	var from, to, prefix, after string
	c := &cobra.Command{
		Use:   "range",
		Short: "List keys in order, with versions and values",
		Long: `List keys in order, with versions and values, as many as a response takes: 1000, or 40 KiB of them. The last line
says whether there are more, and how to continue.`,
		Example: `  lockstep kv put fruit/apple red
  lockstep kv put fruit/pear green
  lockstep kv range --prefix fruit/ --limit 1
  lockstep kv range --prefix fruit/ --after fruit/apple`,
		Args: cobra.NoArgs,
	}
	c.Flags().StringVar(&from, "from", "", "first key")
	c.Flags().StringVar(&to, "to", "", "keys below this one; empty: to the end")
	c.Flags().StringVar(&prefix, "prefix", "", "keys that begin so, in place of --from and --to")
	c.Flags().StringVar(&after, "after", "", "keys above this one: continues a list")
	c.Flags().Uint32Var(&q.Limit, "limit", 0, "keys at most; 0: as many as a response takes")
	c.Flags().BoolVar(&q.KeysOnly, "keys-only", false, "no values")
	c.MarkFlagsMutuallyExclusive("prefix", "from")
	c.MarkFlagsMutuallyExclusive("prefix", "to")
	return kvVerb(c, &q, func([]string) {
		q.From, q.To, q.After = []byte(from), []byte(to), []byte(after)
		if prefix != "" {
			q.From, q.To = []byte(prefix), behindPrefix(prefix)
		}
	})
}

// behindPrefix is the first key behind all that begin so; empty: there is none.
func behindPrefix(prefix string) []byte {
	b := []byte(prefix)
	for len(b) > 0 && b[len(b)-1] == 0xff {
		b = b[:len(b)-1]
	}
	if len(b) > 0 {
		b[len(b)-1]++
	}
	return b
}

func kvWatchVerb() shellVerb {
	q := kv.Request{Command: kv.Watch, On: true}
	c := &cobra.Command{
		Use:   "watch [PREFIX]",
		Short: "Print every change to keys that begin so, until interrupted",
		Long: `Print every change to keys that begin so, in the order of the log, until interrupted. Nothing is left out, also
when the leader changes. A value that is too long for all who watch is not printed: get it.`,
		Example: `  lockstep kv watch fruit/ --count 1 > seen &
  until grep -q watching seen; do sleep 0.05; done
  lockstep kv put fruit/apple red
  wait && grep 'fruit/apple = red' seen`,
		Args: cobra.MaximumNArgs(1),
	}
	return kvVerb(c, &q, func(args []string) {
		if len(args) > 0 {
			q.Key = []byte(args[0])
		}
	})
}

// jsonBytes are bytes in JSON: a string, or {"base64": ...} if they are no UTF-8.
type jsonBytes []byte

// MarshalJSON implements json.Marshaler.
func (b jsonBytes) MarshalJSON() ([]byte, error) {
	if utf8.Valid(b) {
		return json.Marshal(string(b))
	}
	return json.Marshal(map[string]string{"base64": base64.StdEncoding.EncodeToString(b)})
}

// kvReport is a response of the store in JSON.
type kvReport struct {
	Report   string    `json:"report"`
	Reason   string    `json:"reason,omitempty"`
	Key      jsonBytes `json:"key,omitempty"`
	Value    jsonBytes `json:"value,omitempty"`
	Version  uint64    `json:"version,omitempty"`
	Previous uint64    `json:"previous,omitempty"`
	Deleted  bool      `json:"deleted,omitempty"`
	LeftOut  bool      `json:"left_out,omitempty"`
	Entries  []kvEntry `json:"entries,omitempty"`
	More     bool      `json:"more,omitempty"`
}

type kvEntry struct {
	Key     jsonBytes `json:"key"`
	Value   jsonBytes `json:"value,omitempty"`
	Version uint64    `json:"version"`
}

// printKV prints a response of the store.
func printKV(w io.Writer, payload []byte, asJSON bool) bool {
	var p kv.Response
	if !kv.DecodeResponse(payload, &p) {
		fmt.Fprintf(w, "%d bytes that are no response of the key/value store\n", len(payload))
		return false
	}
	done := p.Report != kv.Refused && p.Report != kv.Conflict && p.Report != kv.Absent
	if !asJSON {
		sayKV(w, &p)
		return done
	}
	r := kvReport{Report: p.Report.String(), Key: p.Key, Value: p.Value, Version: p.Version, Previous: p.Previous,
		Deleted: p.Deleted, LeftOut: p.LeftOut, More: p.More}
	if p.Report == kv.Refused {
		r.Reason = p.Reason.String()
	}
	for i := range p.Entries {
		e := p.Entry(i)
		r.Entries = append(r.Entries, kvEntry{e.Key, e.Value, e.Version})
	}
	_ = json.NewEncoder(w).Encode(&r)
	return done
}

// sayKV prints a response for people, and for scripts that want a value.
func sayKV(w io.Writer, p *kv.Response) {
	switch p.Report {
	case kv.Found:
		fmt.Fprintf(w, "%s\n", p.Value)
	case kv.Absent:
		fmt.Fprintln(w, "the key is not there")
	case kv.Stored:
		fmt.Fprintf(w, "version %d, before %d\n", p.Version, p.Previous)
	case kv.Deleted:
		fmt.Fprintf(w, "deleted, version before %d\n", p.Previous)
	case kv.Conflict:
		if p.Version == 0 {
			fmt.Fprintln(w, "conflict: the key is not there")
			return
		}
		fmt.Fprintf(w, "conflict: version %d: %s\n", p.Version, p.Value)
	case kv.Refused:
		fmt.Fprintf(w, "refused: %s\n", p.Reason)
	case kv.Entries:
		for i := range p.Entries {
			e := p.Entry(i)
			fmt.Fprintf(w, "%s = %s (version %d)\n", e.Key, e.Value, e.Version)
			if p.More && i == p.Entries-1 {
				fmt.Fprintf(w, "there are more: --after %s\n", e.Key)
			}
		}
	case kv.Watching:
		fmt.Fprintf(w, "watching from record %d on\n", p.Version)
	case kv.Changed:
		sayKVChange(w, p)
	}
}

func sayKVChange(w io.Writer, p *kv.Response) {
	switch {
	case p.Deleted:
		fmt.Fprintf(w, "%s deleted (record %d)\n", p.Key, p.Version)
	case p.LeftOut:
		fmt.Fprintf(w, "%s changed (version %d)\n", p.Key, p.Version)
	default:
		fmt.Fprintf(w, "%s = %s (version %d)\n", p.Key, p.Value, p.Version)
	}
}
