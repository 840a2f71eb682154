package wire

import (
	"encoding/binary"
	"hash/crc32"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// body is what every fixed layout's Go struct can do.
type body interface {
	Put(b []byte) int
	Decode(b []byte) bool
}

// bodies lists every Go struct: its layout, how to make one, and which values a generated one must be given.
var bodies = []struct {
	layout string
	make   func() body
	fix    func(t *rapid.T, x body)
	exact  bool // Decode wants no byte more
	flags  []string
}{
	{layout: "LogHeader", make: func() body { return new(Log) }},
	{layout: "Status", make: func() body { return new(Status) }, flags: []string{"recovering", "unfit"}},
	{layout: "Nak", make: func() body { return new(Nak) }, fix: func(t *rapid.T, x body) {
		n := x.(*Nak)
		n.From = Position(rapid.Uint64Range(0, 1<<63).Draw(t, "from"))
		n.To = n.From + Position(rapid.Uint64Range(1, 1<<62).Draw(t, "size"))
	}},
	{layout: "Align", make: func() body { return new(Align) }, flags: []string{"last_page", "recovering"}},
	{layout: "AlignAnswer", make: func() body { return new(AlignAnswer) }, flags: []string{"found"}},
	{layout: "Ballot", make: func() body { return new(Ballot) }, flags: []string{"transfer"}},
	{layout: "BallotAnswer", make: func() body { return new(BallotAnswer) }, flags: []string{"granted", "recovering"}},
	{layout: "Transfer", make: func() body { return new(Transfer) }},
	{layout: "Diverged", make: func() body { return new(Diverged) }, flags: []string{"state"}},
	{layout: "TimerRecord", make: func() body { return new(TimerRecord) }, exact: true},
	{layout: "SkipRecord", make: func() body { return new(SkipRecord) }, exact: true},
	{layout: "SnapshotRecord", make: func() body { return new(SnapshotRecord) }, exact: true,
		flags: []string{"take", "leader"}},
	{layout: "Connect", make: func() body { return new(Connect) }, exact: true, fix: func(t *rapid.T, x body) {
		x.(*Connect).Name = drawName(t)
	}},
	{layout: "Prove", make: func() body { return new(Prove) }, exact: true, fix: func(t *rapid.T, x body) {
		x.(*Prove).Name = drawName(t)
	}},
	{layout: "Challenge", make: func() body { return new(Challenge) }},
	{layout: "Accept", make: func() body { return new(Accept) }, fix: func(t *rapid.T, x body) {
		x.(*Accept).Session = SessionID(rapid.Uint64Min(1).Draw(t, "session"))
		x.(*Accept).Leader = drawNode(t)
	}},
	{layout: "Reject", make: func() body { return new(Reject) }},
	{layout: "Redirect", make: func() body { return new(Redirect) }, fix: func(t *rapid.T, x body) {
		x.(*Redirect).Leader = NodeID(rapid.Uint32Range(0, MaxNodes).Draw(t, "leader"))
	}},
	{layout: "MessagesHeader", make: func() body { return new(Messages) }},
	{layout: "AnswersHeader", make: func() body { return new(Answers) }},
	{layout: "TermRecord", make: func() body { return new(TermRecord) }, exact: true, fix: func(t *rapid.T, x body) {
		x.(*TermRecord).Leader = drawNode(t)
	}},
	{layout: "ConfigHeader", make: func() body { return new(Config) }, exact: true, flags: []string{"by_operator"}, fix: func(
		t *rapid.T, x body) {
		*x.(*Config) = drawConfig(t)
	}},
	{layout: "SessionOpen", make: func() body { return new(SessionOpen) }, exact: true, fix: func(t *rapid.T, x body) {
		x.(*SessionOpen).Name = drawName(t)
	}},
	{layout: "Reason", make: func() body { return new(Reason) }, exact: true},
}

func drawName(t *rapid.T) []byte { return []byte(rapid.StringN(1, 16, MaxName).Draw(t, "name")) }

func drawNode(t *rapid.T) NodeID { return NodeID(rapid.Uint32Range(1, MaxNodes).Draw(t, "node")) }

func drawConfig(t *rapid.T) Config {
	c := Config{
		RingBytes:  rapid.Uint64().Draw(t, "ring"),
		Rule:       rapid.SampledFrom([]CommitRule{RuleDurable, RuleReplicated}).Draw(t, "rule"),
		MaxMessage: rapid.Uint32().Draw(t, "max"),
		ByOperator: rapid.Bool().Draw(t, "by operator"),
		Version:    rapid.Uint32().Draw(t, "version"),
		Limits: ConfigLimits{Sessions: rapid.Uint32().Draw(t, "sessions"),
			KeptResponses: rapid.Uint32().Draw(t, "responses"), KeptBytes: rapid.Uint32().Draw(t, "bytes")},
	}
	ids := rapid.Permutation([]NodeID{1, 2, 3, 4, 5, 6, 7}).Draw(t, "ids")
	c.Members = uint8(rapid.IntRange(1, MaxNodes).Draw(t, "members"))
	for i := range c.Member[:c.Members] {
		c.Member[i] = ConfigMember{
			Node:        ids[i],
			Run:         rapid.Uint32().Draw(t, "run"),
			Incarnation: rapid.Uint64().Draw(t, "incarnation"),
		}
	}
	return c
}

// fill gives every field of the struct behind x a drawn value; fields with rules of their own are left to fix.
func fill(t *rapid.T, x body) {
	v := reflect.ValueOf(x).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		switch name := v.Type().Field(i).Name; f.Kind() {
		case reflect.Bool:
			f.SetBool(rapid.Bool().Draw(t, name))
		case reflect.Int64:
			f.SetInt(rapid.Int64().Draw(t, name))
		case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
			f.SetUint(rapid.Uint64().Draw(t, name) >> (64 - f.Type().Bits()))
		case reflect.Array:
			for j := range f.Len() {
				if e := f.Index(j); e.Kind() == reflect.Uint8 {
					e.SetUint(uint64(rapid.Byte().Draw(t, name)))
				}
			}
		}
	}
}

// TestEveryBodyRoundTrip writes every struct into dirty memory and reads it back; it also checks that a body that is
// cut anywhere is refused, as is one with a byte more where none may follow.
func TestEveryBodyRoundTrip(t *testing.T) {
	for _, c := range bodies {
		t.Run(c.layout, rapid.MakeCheck(func(t *rapid.T) {
			x := c.make()
			if fill(t, x); c.fix != nil {
				c.fix(t, x)
			}
			b := make([]byte, 256)
			for i := range b {
				b[i] = 0xa5
			}
			n := x.Put(b)
			if n < fixed[c.layout].size || b[n] != 0xa5 {
				t.Fatalf("Put wrote %d bytes, the layout has %d; the byte behind is %#x", n, fixed[c.layout].size, b[n])
			}
			y := c.make()
			if !y.Decode(b[:n]) || !reflect.DeepEqual(x, y) {
				t.Fatalf("wrote %+v, read %+v", x, y)
			}
			for cut := range n {
				if cut == 0 && c.layout == "Reason" {
					continue // nothing stands for no reason
				}
				if y.Decode(b[:cut]) {
					t.Fatalf("a body of %d bytes decoded from %d", n, cut)
				}
			}
			if c.exact == y.Decode(b[:n+1]) {
				t.Fatalf("a byte more: Decode said %v", !c.exact)
			}
		}))
	}
}

// TestReservedAndFlags sets every bit of every reserved field, and every flag to 2: all must be refused.
func TestReservedAndFlags(t *testing.T) {
	docs := readDocs(t)
	reserved := 0
	for _, c := range bodies {
		x := c.make()
		rapid.MakeCheck(func(t *rapid.T) { // any valid value
			if fill(t, x); c.fix != nil {
				c.fix(t, x)
			}
		})(t)
		b := make([]byte, 256)
		b = b[:x.Put(b)]
		flags := 0
		for _, row := range docs[c.layout] {
			offset, size := number(t, row[0]), number(t, row[1])
			for _, f := range c.flags {
				if f == row[2] {
					flags++
					old := b[offset]
					b[offset] = 2
					if c.make().Decode(b) {
						t.Errorf("%s: %s = 2 was taken", c.layout, f)
					}
					b[offset] = old
				}
			}
			if !strings.HasPrefix(row[2], "reserved") {
				continue
			}
			reserved++
			for bit := range size * 8 {
				b[offset+bit/8] ^= 1 << (bit % 8)
				if c.make().Decode(b) {
					t.Errorf("%s: bit %d of %s was taken", c.layout, bit, row[2])
				}
				b[offset+bit/8] ^= 1 << (bit % 8)
			}
		}
		if !c.make().Decode(b) || flags != len(c.flags) {
			t.Errorf("%s: the body is refused as it was, or a flag is not in the docs", c.layout)
		}
	}
	if reserved < 12 {
		t.Errorf("only %d reserved fields were tried", reserved)
	}
}

func TestValuesThatNoBodyMayHave(t *testing.T) {
	b := make([]byte, 256)
	config := Config{RingBytes: 1 << 20, Rule: RuleDurable, MaxMessage: 1, Members: 2}
	config.Member[0].Node, config.Member[1].Node = 1, 2
	broken := func(change func(*Config)) *Config {
		c := config
		change(&c)
		return &c
	}
	for name, c := range map[string]struct{ from, to body }{
		"nak: empty":              {&Nak{From: 8, To: 8}, &Nak{}},
		"nak: backwards":          {&Nak{From: 16, To: 8}, &Nak{}},
		"accept: no session":      {&Accept{Leader: 1}, &Accept{}},
		"accept: no leader":       {&Accept{Session: 1}, &Accept{}},
		"accept: leader beyond":   {&Accept{Session: 1, Leader: MaxNodes + 1}, &Accept{}},
		"redirect: leader beyond": {&Redirect{Leader: MaxNodes + 1}, &Redirect{}},
		"term: no leader":         {&TermRecord{}, &TermRecord{}},
		"config: no members":      {broken(func(c *Config) { c.Members = 0 }), &Config{}},
		"config: no such rule":    {broken(func(c *Config) { c.Rule = 3 }), &Config{}},
		"config: no rule":         {broken(func(c *Config) { c.Rule = 0 }), &Config{}},
		"config: node 0":          {broken(func(c *Config) { c.Member[1].Node = 0 }), &Config{}},
		"config: node beyond":     {broken(func(c *Config) { c.Member[1].Node = MaxNodes + 1 }), &Config{}},
		"config: a node twice":    {broken(func(c *Config) { c.Member[1].Node = 1 }), &Config{}},
	} {
		if c.to.Decode(b[:c.from.Put(b)]) {
			t.Errorf("%s: was taken", name)
		}
	}
	n := config.Put(b)
	if b[9] = MaxNodes + 1; new(Config).Decode(b[:n]) {
		t.Error("config: more members than there can be: was taken")
	}
}

func TestConfigDigest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawConfig(t)
		d := c.Digest()
		if d == 0 {
			t.Fatal("the digest is 0, which stands for no config")
		}
		same := c
		same.Member[0].Run++
		same.Member[0].Incarnation++
		same.ByOperator, same.Version = !c.ByOperator, c.Version+1
		last := c.Members - 1
		same.Member[0], same.Member[last] = same.Member[last], same.Member[0]
		if same.Digest() != d {
			t.Fatal("an admission, the order of members, an order or the version changed the digest")
		}
		other := []Config{c, c, c, c, c, c, c}
		other[0].RingBytes ^= 1 << rapid.IntRange(0, 63).Draw(t, "bit")
		other[1].Rule ^= 3
		other[2].MaxMessage ^= 1 << rapid.IntRange(0, 31).Draw(t, "bit")
		other[3].Members--
		other[4].Limits.Sessions++
		other[5].Limits.KeptResponses++
		other[6].Limits.KeptBytes++
		for i := range other {
			if other[i].Digest() == d {
				t.Fatalf("change %d did not change the digest", i)
			}
		}
	})
	pinned := Config{RingBytes: 64 << 20, Rule: RuleDurable, MaxMessage: MaxMessage, Members: 3,
		Limits: ConfigLimits{Sessions: 1024, KeptResponses: 4096, KeptBytes: 1 << 20}}
	for i := range pinned.Member[:3] {
		pinned.Member[i].Node = NodeID(i + 1)
	}
	var b []byte
	for _, v := range []uint64{1, 64 << 20, MaxMessage, 1024, 4096, 1 << 20, 1, 2, 3} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	if got, want := pinned.Digest(), crc32.Checksum(b, castagnoli); got != want {
		t.Errorf("the digest is %#x, docs/wire.md makes it %#x", got, want)
	}
}

func TestAlignTerms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.IntRange(0, 16).Draw(t, "count")
		terms := make([]TermStart, count)
		start, term := Position(1<<40), Term(1<<20)
		for i := range terms {
			start -= Position(rapid.IntRange(1, 1<<20).Draw(t, "start")) * 8
			term -= Term(rapid.IntRange(1, 1<<10).Draw(t, "term"))
			terms[i] = TermStart{start, term}
		}
		a := Align{Nonce: 1, Append: 1 << 41, LastPage: true}
		b := make([]byte, 1024)
		b = b[:a.PutTerms(b, terms)]
		room := make([]TermStart, 16)
		var got Align
		read, ok := got.DecodeTerms(b, room)
		if !ok || got != a || len(read) != count {
			t.Fatalf("wrote %+v %v, read %+v %v", a, terms, got, read)
		}
		for i := range read {
			if read[i] != terms[i] {
				t.Fatalf("entry %d: wrote %v, read %v", i, terms[i], read[i])
			}
		}
		for cut := range b {
			if _, ok := got.DecodeTerms(b[:cut], room); ok {
				t.Fatalf("%d entries read from %d bytes", count, cut)
			}
		}
		if count > 0 {
			if _, ok := got.DecodeTerms(b, make([]TermStart, 0, count-1)); ok {
				t.Fatal("more entries than there is room for were taken")
			}
			b[AlignSize+12] = 1
			if _, ok := got.DecodeTerms(b, room); ok {
				t.Fatal("a reserved field that is not zero was taken")
			}
		}
	})
	for name, terms := range map[string][]TermStart{
		"same term":     {{64, 2}, {8, 2}},
		"rising terms":  {{64, 2}, {8, 3}},
		"same start":    {{64, 3}, {64, 2}},
		"rising starts": {{64, 3}, {72, 2}},
	} {
		var a Align
		b := make([]byte, 128)
		b = b[:a.PutTerms(b, terms)]
		if _, ok := a.DecodeTerms(b, make([]TermStart, 8)); ok {
			t.Errorf("%s: was taken", name)
		}
	}
}

func TestRedirectAddressOrder(t *testing.T) {
	b := make([]byte, RedirectSize)
	(&Redirect{IP: [4]byte{10, 1, 2, 3}}).Put(b)
	if [4]byte(b[20:24]) != [4]byte{10, 1, 2, 3} {
		t.Errorf("the address stands as % x", b[20:24])
	}
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"":                      false,
		"desk 7":                true,
		"börse":                 true,
		strings.Repeat("x", 64): true,
		strings.Repeat("x", 65): false,
		"a\nb":                  false,
		"a\x00":                 false,
		"\xff":                  false,
	} {
		if ValidName([]byte(name)) != want {
			t.Errorf("ValidName(%q) = %v", name, !want)
		}
	}
}
