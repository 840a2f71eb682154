package match

import (
	"fmt"
	"strings"
	"testing"
)

// A cancel and a replace are on their way while the order executes: what each finds depends on which was first, and it is
// answered by what was asked and by what has happened. The order is account 1's, a buy of 10 at 50 named 1; what may
// happen to it are:
const (
	partial   = "sell 2/%d 4@50 ioc"  // executes 4
	full      = "sell 2/%d 10@50 ioc" // executes all that is left, up to 10
	cancel    = "cancel 1/1"
	cancelNew = "cancel 1/2"
	reduce    = "replace 1/1 2 6@50"  // a total of 6, named 2: keeps its place
	enlarge   = "replace 1/1 2 15@50" // a total of 15, named 2: a new order
	refused   = "replace 1/1 2 10@2000"
)

// race plays what happens after the order was entered, and compares what account 1 was told, public events left out.
func race(t *testing.T, happens []string, want ...string) {
	t.Helper()
	s := &scripted{t: t, options: Options{Instruments: 1, MaxInstruments: 1, PriceLimit: 1000, MaxOrders: 16}}
	s.engine = s.fresh()
	s.line(strings.Fields("buy 1/1 10@50 gtc"))
	s.engine.Reset()
	for n, line := range happens {
		if strings.Contains(line, "%d") {
			line = fmt.Sprintf(line, n+1)
		}
		s.line(strings.Fields(line))
	}
	var got []string
	for _, v := range s.engine.Events() {
		if v.Account == 1 {
			got = append(got, describe(&v))
		}
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%v:\n%s\nwant\n%s", happens, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestRaceCancelBeforeExecution(t *testing.T) {
	race(t, []string{cancel, full}, "1/1 canceled o=1 10 reason=1 left=0")
	race(t, []string{cancel, partial}, "1/1 canceled o=1 10 reason=1 left=0")
}

func TestRaceCancelAfterPartialFill(t *testing.T) {
	race(t, []string{partial, cancel},
		"1/1 executed o=1 x=1 4@50 left=6",
		"1/1 canceled o=1 6 reason=1 left=0")
}

func TestRaceCancelAfterFullFill(t *testing.T) {
	race(t, []string{full, cancel},
		"1/1 executed o=1 x=1 10@50 left=0",
		"1/1 rejected 6")
	race(t, []string{partial, full, cancel},
		"1/1 executed o=1 x=1 4@50 left=6",
		"1/1 executed o=1 x=2 6@50 left=0",
		"1/1 rejected 6")
}

func TestRaceCancelTwice(t *testing.T) {
	race(t, []string{cancel, cancel},
		"1/1 canceled o=1 10 reason=1 left=0",
		"1/1 rejected 6")
}

func TestRaceReplaceBeforeExecution(t *testing.T) {
	race(t, []string{reduce, full},
		"1/2 replaced /1 o=1 6 left=6",
		"1/2 executed o=1 x=1 6@50 left=0")
	race(t, []string{enlarge, full},
		"1/2 replaced /1 o=2 15 left=15",
		"1/2 executed o=2 x=1 10@50 left=5")
}

// The total counts what has executed: 4 of 6 leave 2, 4 of 15 leave 11.
func TestRaceReplaceAfterPartialFill(t *testing.T) {
	race(t, []string{partial, reduce, full},
		"1/1 executed o=1 x=1 4@50 left=6",
		"1/2 replaced /1 o=1 6 left=2",
		"1/2 executed o=1 x=2 2@50 left=0")
	race(t, []string{partial, enlarge, cancelNew},
		"1/1 executed o=1 x=1 4@50 left=6",
		"1/2 replaced /1 o=3 15 left=11",
		"1/2 canceled o=3 11 reason=1 left=0")
}

// A replace to no more than has executed takes off what is left, and there is no new order.
func TestRaceReplaceToWhatHasExecuted(t *testing.T) {
	race(t, []string{"sell 2/%d 6@50 ioc", reduce, cancelNew, cancel},
		"1/1 executed o=1 x=1 6@50 left=4",
		"1/1 canceled o=1 4 reason=10 left=0",
		"1/2 rejected 6",
		"1/1 rejected 6")
	race(t, []string{"sell 2/%d 7@50 ioc", reduce},
		"1/1 executed o=1 x=1 7@50 left=3",
		"1/1 canceled o=1 3 reason=10 left=0")
}

func TestRaceReplaceAfterFullFill(t *testing.T) {
	for _, replace := range []string{reduce, enlarge, refused} {
		race(t, []string{full, replace},
			"1/1 executed o=1 x=1 10@50 left=0",
			"1/1 rejected 6")
	}
}

func TestRaceReplaceThenCancelOfTheOldName(t *testing.T) {
	race(t, []string{reduce, cancel, cancelNew},
		"1/2 replaced /1 o=1 6 left=6",
		"1/1 rejected 6",
		"1/2 canceled o=1 6 reason=1 left=0")
	race(t, []string{enlarge, cancel, full},
		"1/2 replaced /1 o=2 15 left=15",
		"1/1 rejected 6",
		"1/2 executed o=2 x=1 10@50 left=5")
}

func TestRaceCancelThenReplace(t *testing.T) {
	race(t, []string{cancel, reduce, enlarge},
		"1/1 canceled o=1 10 reason=1 left=0",
		"1/1 rejected 6",
		"1/1 rejected 6")
	race(t, []string{partial, cancel, enlarge},
		"1/1 executed o=1 x=1 4@50 left=6",
		"1/1 canceled o=1 6 reason=1 left=0",
		"1/1 rejected 6")
}

func TestRaceTwoReplaces(t *testing.T) {
	race(t, []string{reduce, enlarge, "replace 1/2 3 8@50"},
		"1/2 replaced /1 o=1 6 left=6",
		"1/1 rejected 6",
		"1/3 replaced /2 o=2 8 left=8")
	race(t, []string{reduce, partial, "replace 1/2 3 4@50"},
		"1/2 replaced /1 o=1 6 left=6",
		"1/2 executed o=1 x=1 4@50 left=2",
		"1/2 canceled o=1 2 reason=10 left=0")
}

// A replace that is refused leaves the order as it was: it executes, is canceled, is replaced as if nothing had been asked.
func TestRaceRefusedReplace(t *testing.T) {
	race(t, []string{refused, partial, refused, cancel},
		"1/1 rejected 3",
		"1/1 executed o=1 x=1 4@50 left=6",
		"1/1 rejected 3",
		"1/1 canceled o=1 6 reason=1 left=0")
	race(t, []string{partial, refused, reduce, full},
		"1/1 executed o=1 x=1 4@50 left=6",
		"1/1 rejected 3",
		"1/2 replaced /1 o=1 6 left=2",
		"1/2 executed o=1 x=2 2@50 left=0")
	race(t, []string{refused, full, cancel},
		"1/1 rejected 3",
		"1/1 executed o=1 x=1 10@50 left=0",
		"1/1 rejected 6")
}

// A replace may execute itself: it is told of first.
func TestRaceReplaceThatExecutes(t *testing.T) {
	race(t, []string{"sell 2/1 5@51", "replace 1/1 2 10@51", "cancel 2/1", cancelNew},
		"1/2 replaced /1 o=3 10 left=5",
		"1/2 executed o=3 x=1 5@51 left=5",
		"1/2 canceled o=3 5 reason=1 left=0")
	race(t, []string{"sell 2/1 20@51", partial, "replace 1/1 2 10@51", cancelNew},
		"1/1 executed o=1 x=1 4@50 left=6",
		"1/2 replaced /1 o=4 10 left=0",
		"1/2 executed o=4 x=2 6@51 left=0",
		"1/2 rejected 6")
}

// A cancel of a part is a total too.
func TestRacePartialCancel(t *testing.T) {
	race(t, []string{partial, "cancel 1/1 7", full},
		"1/1 executed o=1 x=1 4@50 left=6",
		"1/1 canceled o=1 3 reason=1 left=3",
		"1/1 executed o=1 x=2 3@50 left=0")
	race(t, []string{partial, "cancel 1/1 4", full},
		"1/1 executed o=1 x=1 4@50 left=6",
		"1/1 canceled o=1 6 reason=1 left=0")
	race(t, []string{partial, "cancel 1/1 10", "cancel 1/1 9"},
		"1/1 executed o=1 x=1 4@50 left=6",
		"1/1 rejected 4",
		"1/1 canceled o=1 1 reason=1 left=5")
}
