package command

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"lockstep/service"
	"lockstep/wire"
)

// wordsOf are messages of each service that takes part in transactions, as a person would put them. NAME and N are replaced by one
// of a few.
var wordsOf = map[string][]string{
	"kv": {"put NAME N", "put NAME N", "get NAME", "cas NAME N --version N", "delete NAME", "delete NAME --version N",
		"range --prefix NAME"},
	"lock": {"acquire NAME --value N --ttl Ns", "acquire NAME", "acquire NAME --wait Ns --ttl Ns", "announce NAME --value N --ttl Ns",
		"release NAME N", "renew NAME N --ttl Ns", "set NAME N N", "get NAME", "list"},
	"order": {"new --side buy --price N --quantity N --client-order N", "new --side sell --price N --quantity N --client-order N",
		"new --side buy --price N --quantity N --client-order N --time-in-force fok", "new --side sell --type market --quantity N --client-order N",
		"cancel --client-order N", "cancel --client-order N --quantity N", "replace N --price N --quantity N",
		"mass-cancel", "login N", "book 1", "state halted --instrument 2", "limits N --max-open N", "kill N", "kill N --off", "bust N"},
	"queue": {"put NAME N", "put NAME N --key N", "put NAME N --delay Ns", "lease NAME --lease Ns", "lease NAME --at-most-once",
		"lease NAME --wait Ns", "delete NAME N N", "extend NAME N N --lease Ns", "release NAME N N", "stats NAME",
		"configure NAME --max-attempts N --dead-letter NAME --lease Ns", "list"},
	"timer": {"start NAME --after Ns", "start NAME --every Ns", "start NAME --every Ns --times N --await", "start NAME --replace --after Ns",
		"cancel NAME", "list"},
}

// checkedService is one service, called as the driver would.
type checkedService struct {
	t     *testing.T
	shell *shellService
	service.Checker
	ctx *service.Context
	rng *rand.Rand
	now uint64
	seq uint64
}

// TestChecksSayWhatApplyDoes holds every service that takes part in transactions to what it promises: what its Check refuses, Apply
// refuses with the same bytes and without effect; what Check lets pass, Apply does. A Check changes nothing.
func TestChecksSayWhatApplyDoes(t *testing.T) {
	list, err := productionServices()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range shellServices() {
		checker, ok := list[v.number%service.MaxServices].(service.Checker)
		if !ok {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			s := &checkedService{t: t, shell: v, Checker: checker, ctx: service.NewContext(), rng: rand.New(rand.NewPCG(1, 2)), now: 1e18}
			for session := wire.SessionID(1); session <= 3; session++ {
				s.begin(0)
				s.OnSession(s.ctx, session, true)
			}
			passed, refused := 0, 0
			for range 5000 {
				if s.step() {
					refused++
				} else {
					passed++
				}
			}
			if passed < 500 || refused < 100 {
				t.Errorf("%d messages passed, %d were refused: that says little", passed, refused)
			}
		})
	}
}

// begin binds the context to the next record.
func (s *checkedService) begin(session wire.SessionID) *wire.Record {
	s.seq++
	s.now += s.rng.Uint64N(2e8)
	r := &wire.Record{Service: s.shell.number, Session: session, Sequence: s.seq, Timestamp: s.now}
	s.ctx.Begin(r)
	return r
}

// message is one of a few that there are for the service, sometimes damaged.
func (s *checkedService) message() (words string, payload []byte) {
	choices := wordsOf[s.shell.name]
	words = choices[s.rng.IntN(len(choices))]
	for strings.Contains(words, "NAME") {
		words = strings.Replace(words, "NAME", string(rune('a'+s.rng.IntN(4))), 1)
	}
	var list []string
	for _, word := range strings.Fields(words) {
		n := 1 + s.rng.Uint64N(6)
		if s.rng.IntN(3) == 0 && s.seq > 40 {
			n = s.seq - s.rng.Uint64N(40) // what versions and tokens are like
		}
		list = append(list, strings.Replace(word, "N", fmt.Sprint(n), 1))
	}
	payload, err := s.shell.encode(list)
	if err != nil {
		s.t.Fatalf("%s: %v", list, err)
	}
	if s.rng.IntN(20) == 0 {
		payload = bytes.Clone(payload)
		payload[s.rng.IntN(len(payload))] ^= 1 << s.rng.IntN(8)
	}
	return strings.Join(list, " "), payload
}

// step checks and applies one message, then fires what is due. It reports whether the message was refused.
func (s *checkedService) step() bool {
	words, payload := s.message()
	own := s.begin(wire.SessionID(1 + s.rng.Uint64N(3)))
	r := *own
	r.Service = service.Transaction
	before := s.Hash()
	s.ctx.BeginCheck(own)
	refusal := bytes.Clone(s.Check(s.ctx, &r, payload))
	if s.Hash() != before {
		s.t.Fatalf("%s: the check changes the state", words)
	}
	s.ctx.Begin(own)
	s.Apply(s.ctx, &r, payload)
	var answers [][]byte
	s.ctx.Responses(func(_ wire.SessionID, b []byte) { answers = append(answers, bytes.Clone(b)) })
	switch {
	case refusal != nil && s.alone(words):
	case refusal != nil && (len(answers) != 1 || !bytes.Equal(answers[0], refusal)):
		s.t.Fatalf("%s: the check refuses with %q, apply answers %d times: %q", words, s.say(refusal), len(answers), s.say(answers...))
	case refusal != nil && s.Hash() != before && s.shell.name != "order": // there it makes its account known, and counts
		s.t.Fatalf("%s: refused, and the state is another: %s", words, s.say(refusal))
	case refusal == nil && len(answers) > 0 && !s.shell.print(io.Discard, answers[0], false) && !s.mere(words):
		s.t.Fatalf("%s: the check lets it pass, apply answers %q", words, s.say(answers...))
	}
	s.fire()
	return refusal != nil
}

// alone says whether a command is one that a service refuses in a transaction whatever Apply would do: a transaction does not wait for
// a lock, an order that must be filled and cannot be is no commitment, and the book's operators have messages of their own.
func (s *checkedService) alone(words string) bool {
	verb, _, _ := strings.Cut(words, " ")
	return s.shell.name == "lock" && strings.Contains(words, "--wait") ||
		s.shell.name == "order" && (strings.Contains(words, "fok") || verb == "limits" || verb == "kill" || verb == "state" || verb == "bust")
}

// mere says whether a command only asks: that nothing is found is no refusal.
func (s *checkedService) mere(words string) bool {
	verb, _, _ := strings.Cut(words, " ")
	return verb == "get" || verb == "list" || verb == "range" || verb == "stats" || verb == "lease"
}

// say is what answers read like.
func (s *checkedService) say(answers ...[]byte) string {
	var b strings.Builder
	for _, answer := range answers {
		s.shell.print(&b, answer, false)
	}
	return b.String()
}

// fire has the timers that are due fire.
func (s *checkedService) fire() {
	timed, ok := s.Checker.(service.Timed)
	for range 10 {
		x, some := s.ctx.Timers().First()
		if !ok || !some || x.Deadline > s.now {
			return
		}
		s.begin(0)
		s.ctx.Timers().Cancel(x.Service, x.ID)
		timed.OnTimer(s.ctx, x.ID, x.Deadline)
	}
}
