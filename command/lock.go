package command

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/spf13/cobra"

	"lockstep/service"
	"lockstep/service/lock"
)

// lockShell is the lock service as the shell knows it.
func lockShell() *shellService {
	return &shellService{number: service.Lock, name: "lock", print: printLock,
		verbs: []func() shellVerb{lockAcquireVerb, lockAnnounceVerb, lockRenewVerb, lockSetVerb, lockReleaseVerb, lockGetVerb,
			lockListVerb, lockWatchVerb}}
}

func lockCommand() *cobra.Command {
	var f shellFlags
	c := shellGroup(lockShell(), &f, &cobra.Command{
		Use:   "lock",
		Short: "Use locks and announcements from the shell, and serve them to other programs",
		Long: `Use locks and announcements from the shell, and serve them to other programs. A lock has one holder at a time, and
a token for each, which grows from holder to holder: what the lock protects can turn away those that held it before.
An announcement says under a name where something is to be found, and excludes nobody.`,
		Example: `  lockstep lock run backup -- echo alone
  lockstep lab exec -- lockstep lock list`,
	})
	c.AddCommand(lockRunCommand(&f), lockServeCommand(&f))
	return c
}

// lockVerb is a verb whose arguments are taken in by read.
func lockVerb(c *cobra.Command, q *lock.Request, read func(args []string) error) shellVerb {
	return shellVerb{command: c, encode: func(args []string) ([]byte, error) {
		if err := read(args); err != nil {
			return nil, err
		}
		if len(q.Name) > lock.MaxName || len(q.Value) > lock.MaxValue {
			return nil, fmt.Errorf("%w: a name has %d bytes at most, a value %d", errUsage, lock.MaxName, lock.MaxValue)
		}
		return lock.EncodeRequest(flatbuffers.NewBuilder(256), q), nil
	}}
}

// lockTime is a flag's duration in milliseconds, if the lock service takes it.
func lockTime(flag string, d time.Duration) (uint64, error) {
	if d > lock.MaxTimeMs*time.Millisecond {
		return 0, fmt.Errorf("%w: --%s %v: want 0 to %v", errUsage, flag, d, lock.MaxTimeMs*time.Millisecond)
	}
	return millis(flag, d)
}

func lockAcquireVerb() shellVerb {
	q := lock.Request{Command: lock.Acquire}
	var value string
	var ttl, wait time.Duration
	c := &cobra.Command{
		Use:   "acquire NAME",
		Short: "Take a lock; exit code 3: somebody has it, and the answer says who",
		Long: `Take a lock. With --ttl it outlives this command: until it is released, or has not been renewed for so long.
Without, it is released when the command ends: --hold says when. lockstep lock run holds a lock while a command runs.`,
		Example: `  token=$(lockstep lock acquire nightly --value "$(hostname)" --ttl 10s | sed 's/.*token //')
  lockstep lock acquire nightly || test $? = 3
  lockstep lock release nightly $token
  lockstep lock acquire nightly --wait 10s --hold 100ms`,
		Args: cobra.ExactArgs(1),
	}
	c.Flags().StringVar(&value, "value", "", "what others are told who ask for the lock")
	c.Flags().DurationVar(&ttl, "ttl", 0, "keep it for so long, also when this command has ended")
	c.Flags().DurationVar(&wait, "wait", 0, "wait so long for it, behind those who wait already; 0: not at all")
	v := lockVerb(c, &q, func(args []string) (err error) {
		q.Name, q.Value, q.Keep = []byte(args[0]), []byte(value), ttl > 0
		if q.TTLMs, err = lockTime("ttl", ttl); err == nil {
			q.WaitMs, err = lockTime("wait", wait)
		}
		return err
	})
	v.until = func(number uint16, answer []byte) bool {
		var p lock.Response
		return number == service.Lock && lock.DecodeResponse(answer, &p) &&
			(p.Report == lock.Granted || p.Report == lock.Refused)
	}
	return v
}

func lockAnnounceVerb() shellVerb {
	q := lock.Request{Command: lock.Announce}
	var value string
	var ttl time.Duration
	c := &cobra.Command{
		Use:   "announce NAME",
		Short: "Say under a name where something is to be found; others may, too",
		Long: `Say under a name where something is to be found; any number of announcements can stand under it. With --ttl it
outlives this command: until it is released, or has not been renewed for so long. Without, it is withdrawn when the
command ends: --hold.`,
		Example: `  lockstep lock announce web --value 10.0.0.7:80 --ttl 10s
  lockstep lock announce web --value 10.0.0.8:80 --ttl 10s
  lockstep lock get web`,
		Args: cobra.ExactArgs(1),
	}
	c.Flags().StringVar(&value, "value", "", "what others are told who ask for the name")
	c.Flags().DurationVar(&ttl, "ttl", 0, "keep it for so long, also when this command has ended")
	return lockVerb(c, &q, func(args []string) (err error) {
		q.Name, q.Value, q.Keep = []byte(args[0]), []byte(value), ttl > 0
		q.TTLMs, err = lockTime("ttl", ttl)
		return err
	})
}

// nameAndToken takes the first two arguments in.
func nameAndToken(q *lock.Request, args []string) (err error) {
	q.Name = []byte(args[0])
	if q.Token, err = strconv.ParseUint(args[1], 10, 64); err != nil {
		return fmt.Errorf("%w: token %q: want a number", errUsage, args[1])
	}
	return nil
}

func lockRenewVerb() shellVerb {
	q := lock.Request{Command: lock.Renew}
	var ttl time.Duration
	c := &cobra.Command{
		Use:   "renew NAME TOKEN",
		Short: "Have a lock or an announcement last longer; exit code 3: it is over",
		Example: `  token=$(lockstep lock acquire weekly --ttl 10s | sed 's/.*token //')
  lockstep lock renew weekly $token --ttl 1s`,
		Args: cobra.ExactArgs(2),
	}
	c.Flags().DurationVar(&ttl, "ttl", 0, "so long from now on; 0: as long as the last time")
	return lockVerb(c, &q, func(args []string) (err error) {
		if q.TTLMs, err = lockTime("ttl", ttl); err == nil {
			err = nameAndToken(&q, args)
		}
		return err
	})
}

func lockSetVerb() shellVerb {
	q := lock.Request{Command: lock.SetValue}
	c := &cobra.Command{
		Use:   "set NAME TOKEN VALUE",
		Short: "Change the value of a lock or an announcement; exit code 3: it is over",
		Example: `  token=$(lockstep lock announce web --value 10.0.0.9:80 --ttl 10s | sed 's/.*token //')
  lockstep lock set web $token 10.0.0.9:8080`,
		Args: cobra.ExactArgs(3),
	}
	return lockVerb(c, &q, func(args []string) error {
		q.Value = []byte(args[2])
		return nameAndToken(&q, args)
	})
}

func lockReleaseVerb() shellVerb {
	q := lock.Request{Command: lock.Release}
	c := &cobra.Command{
		Use:   "release NAME TOKEN",
		Short: "Release a lock, or withdraw an announcement; exit code 3: it is over already",
		Example: `  token=$(lockstep lock acquire monthly --ttl 10s | sed 's/.*token //')
  lockstep lock release monthly $token
  lockstep lock release monthly $token || test $? = 3`,
		Args: cobra.ExactArgs(2),
	}
	return lockVerb(c, &q, func(args []string) error { return nameAndToken(&q, args) })
}

func lockGetVerb() shellVerb {
	q := lock.Request{Command: lock.Get}
	c := &cobra.Command{
		Use:     "get NAME",
		Short:   "Print who has a lock, and what is announced under its name",
		Example: "  lockstep lock get web",
		Args:    cobra.ExactArgs(1),
	}
	c.Flags().Uint64Var(&q.Token, "after", 0, "announcements above this token: continues a list")
	return lockVerb(c, &q, func(args []string) error {
		q.Name = []byte(args[0])
		return nil
	})
}

func lockListVerb() shellVerb {
	q := lock.Request{Command: lock.List}
	var after string
	c := &cobra.Command{
		Use:   "list [PREFIX]",
		Short: "List names under which there is anything",
		Example: `  lockstep lock announce db/replica --value 10.0.0.3 --ttl 10s
  lockstep lock list db/`,
		Args: cobra.MaximumNArgs(1),
	}
	c.Flags().StringVar(&after, "after", "", "names above this one: continues a list")
	c.Flags().Uint32Var(&q.Limit, "limit", 0, "names at most; 0: as many as a response takes")
	return lockVerb(c, &q, func(args []string) error {
		q.After = []byte(after)
		if len(args) > 0 {
			q.Name = []byte(args[0])
		}
		return nil
	})
}

func lockWatchVerb() shellVerb {
	q := lock.Request{Command: lock.Subscribe, On: true}
	c := &cobra.Command{
		Use:   "watch NAME",
		Short: "Print every change to a name, until interrupted",
		Example: `  lockstep lock watch web --count 1 > seen &
  until grep -q watching seen; do sleep 0.05; done
  lockstep lock announce web --value 10.0.0.1:80 --ttl 10s
  wait && grep 10.0.0.1:80 seen`,
		Args: cobra.ExactArgs(1),
	}
	c.Flags().BoolVar(&q.Prefix, "prefix", false, "all names that begin so")
	v := lockVerb(c, &q, func(args []string) error {
		q.Name = []byte(args[0])
		return nil
	})
	v.watches = true
	return v
}

// lockHolder is a holder in JSON.
type lockHolder struct {
	Token   uint64    `json:"token"`
	Session string    `json:"session"`
	Value   jsonBytes `json:"value"`
	Expires string    `json:"expires,omitempty"` // never, if it is not there
	Keep    bool      `json:"keep,omitempty"`
}

func newLockHolder(h lock.Holder) *lockHolder {
	if h.Token == 0 {
		return nil
	}
	x := &lockHolder{Token: h.Token, Session: fmt.Sprintf("%016x", uint64(h.Session)), Value: h.Value, Keep: h.Keep}
	if h.Expires != 0 {
		x.Expires = stamp(h.Expires)
	}
	return x
}

// lockReport is a response of the lock service in JSON.
type lockReport struct {
	Report        string        `json:"report"`
	Reason        string        `json:"reason,omitempty"`
	Change        string        `json:"change,omitempty"`
	Announcement  bool          `json:"announcement,omitempty"`
	Name          jsonBytes     `json:"name,omitempty"`
	Token         uint64        `json:"token,omitempty"`
	Expires       string        `json:"expires,omitempty"`
	Ahead         uint32        `json:"ahead,omitempty"`
	Holder        *lockHolder   `json:"holder,omitempty"`
	Waiting       uint32        `json:"waiting,omitempty"`
	Announced     uint32        `json:"announced,omitempty"`
	Announcements []*lockHolder `json:"announcements,omitempty"`
	Names         []lockName    `json:"names,omitempty"`
	More          bool          `json:"more,omitempty"`
	LeftOut       bool          `json:"left_out,omitempty"`
}

type lockName struct {
	Name      jsonBytes   `json:"name"`
	Holder    *lockHolder `json:"holder,omitempty"`
	Waiting   uint32      `json:"waiting,omitempty"`
	Announced uint32      `json:"announced,omitempty"`
}

func newLockReport(p *lock.Response) *lockReport {
	r := &lockReport{Report: p.Report.String(), Name: p.Name, Token: p.Token, Ahead: p.Ahead,
		Holder:  newLockHolder(p.Holder),
		Waiting: p.Waiting, Announced: p.Announced, More: p.More, Announcement: p.Announcement, LeftOut: p.LeftOut}
	if p.Expires != 0 {
		r.Expires = stamp(p.Expires)
	}
	if p.Report == lock.Refused {
		r.Reason = p.Reason.String()
	}
	if p.Report == lock.Changed {
		r.Change = p.Change.String()
	}
	for i := range p.Count {
		if p.Report == lock.State {
			r.Announcements = append(r.Announcements, newLockHolder(p.AnnouncementAt(i)))
			continue
		}
		n := p.NameAt(i)
		r.Names = append(r.Names, lockName{n.Name, newLockHolder(n.Holder), n.Waiting, n.Announced})
	}
	return r
}

// printLock prints a response of the lock service.
func printLock(w io.Writer, payload []byte, asJSON bool) bool {
	var p lock.Response
	if !lock.DecodeResponse(payload, &p) {
		fmt.Fprintf(w, "%d bytes that are no response of the lock service\n", len(payload))
		return false
	}
	if asJSON {
		_ = json.NewEncoder(w).Encode(newLockReport(&p))
	} else {
		sayLock(w, &p)
	}
	return p.Report != lock.Refused
}

// sayLock prints a response for people.
func sayLock(w io.Writer, p *lock.Response) {
	switch p.Report {
	case lock.Granted:
		fmt.Fprintf(w, "%s is yours%s, token %d\n", p.Name, sayExpiry(p.Expires), p.Token)
	case lock.Waiting:
		fmt.Fprintf(w, "waiting, %d ahead: %s\n", p.Ahead, sayHolder(p.Holder))
	case lock.Renewed:
		fmt.Fprintf(w, "renewed%s\n", sayExpiry(p.Expires))
	case lock.Done:
		fmt.Fprintln(w, "done")
	case lock.State:
		fmt.Fprintf(w, "%s, %d waiting\n", sayHolder(p.Holder), p.Waiting)
		for i := range p.Count {
			fmt.Fprintf(w, "announced: %s\n", sayHold(p.AnnouncementAt(i)))
		}
		if p.More {
			fmt.Fprintf(w, "there are more: --after %d\n", p.AnnouncementAt(p.Count-1).Token)
		}
	case lock.Names:
		for i := range p.Count {
			n := p.NameAt(i)
			fmt.Fprintf(w, "%s: %s, %d waiting, %d announced\n", n.Name, sayHolder(n.Holder), n.Waiting, n.Announced)
		}
		if p.More {
			fmt.Fprintf(w, "there are more: --after %s\n", p.NameAt(p.Count-1).Name)
		}
	case lock.Subscribed:
		fmt.Fprintf(w, "watching from record %d on\n", p.Sequence)
	case lock.Refused:
		fmt.Fprintf(w, "refused: %s", p.Reason)
		if p.Holder.Token != 0 {
			fmt.Fprintf(w, ": %s", sayHolder(p.Holder))
		}
		fmt.Fprintln(w)
	case lock.Changed:
		what := map[bool]string{false: "lock", true: "announcement"}[p.Announcement]
		fmt.Fprintf(w, "%s: %s %s: %s\n", p.Name, what, sayChange(p.Change), sayHold(p.Holder))
	}
}

func sayChange(c lock.Change) string {
	switch c {
	case lock.ChangeGranted:
		return "granted"
	case lock.ChangeValueSet:
		return "given a new value"
	case lock.ChangeReleased:
		return "released"
	case lock.ChangeExpired:
		return "run out"
	case lock.ChangeSessionEnded:
		return "ended with its session"
	}
	return c.String()
}

func sayExpiry(ns uint64) string {
	if ns == 0 {
		return ""
	}
	return " until " + stamp(ns)
}

func sayHolder(h lock.Holder) string {
	if h.Token == 0 {
		return "held by nobody"
	}
	return "held by " + sayHold(h)
}

func sayHold(h lock.Holder) string {
	return fmt.Sprintf("%q (session %016x, token %d%s)", h.Value, uint64(h.Session), h.Token, sayExpiry(h.Expires))
}
