package examples

import (
	"reflect"
	"slices"
	"testing"
)

// TestMarksAreUnderstood reads all documents, and one of each kind of mark.
func TestMarksAreUnderstood(t *testing.T) {
	if list, err := documented(); err != nil || len(list) == 0 {
		t.Errorf("%d marked blocks: %v", len(list), err)
	}
	page := "```sh\nnot marked\n```\n<!-- run -->\n```sh\na\nb\n```\n<!-- run: each, exit 1 -->\n```sh\nc \\\n  d\ne\n```\n" +
		"<!-- run: long -->\n```\nf\n```\n"
	want := []script{
		{name: "x.md:4", text: "a\nb\n"},
		{name: "x.md:9,1", text: "c \\\n  d\n", exit: 1},
		{name: "x.md:9,2", text: "e\n", exit: 1},
		{name: "x.md:15", text: "f\n", long: true},
	}
	if got, err := marked("x.md", page); err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{
		"<!-- run: often -->\n```\na\n```\n", "<!-- run: exit soon -->\n```\na\n```\n", "<!-- run -->\n\n```\na\n```\n",
		"<!-- run it -->\n```\na\n```\n", "<!-- run -->\n```\na\n",
	} {
		if got, err := marked("x.md", bad); err == nil {
			t.Errorf("%q is taken: %+v", bad, got)
		}
	}
}

// TestExamplesAreMadeShort holds what becomes of calls to what they say.
func TestExamplesAreMadeShort(t *testing.T) {
	s := stage{At: "A", Control: "B", Cluster: "C", Config: "D", Memory: "/m", Scratch: "/s"}
	const help = `Usage:
  lockstep bench rtt [flags]

Flags:
      --at strings      addresses
      --commit string   rule
      --dir string      where
  -k, --keep            a switch
      --rate float      messages a second
      --rounds int      rounds
`
	for _, row := range []struct{ have, want []string }{
		{[]string{"bench", "rtt"}, []string{"bench", "rtt", "--dir=/m", "--rounds=1"}},
		{[]string{"bench", "rtt", "--rounds", "5", "-k", "--rate", "20000", "--dir=/var/lib"},
			[]string{"bench", "rtt", "--keep", "--rate=500", "--dir=/m", "--rounds=1"}},
		{[]string{"bench", "rtt", "--rounds", "0", "--rate=20", "--at", "10.0.0.1:7400"},
			[]string{"bench", "rtt", "--rounds=0", "--rate=20", "--at=A", "--dir=/m"}},
	} {
		c, err := take(row.have, help)
		if err != nil {
			t.Error(err)
			continue
		}
		got := s.shorten(c)
		slices.Sort(got)
		slices.Sort(row.want)
		if !reflect.DeepEqual(got, row.want) {
			t.Errorf("%q became %q, want %q", row.have, got, row.want)
		}
	}
	for _, bad := range [][]string{{"bench", "rtt", "--round", "5"}, {"bench", "rtt", "--rounds"}, {"bench", "rtt", "-x"}} {
		if c, err := take(bad, help); err == nil {
			t.Errorf("%q is taken: %+v", bad, c)
		}
	}
}
