package command

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/service/orderbook"
	"lockstep/service/orderbook/match"
)

func TestReadInstruments(t *testing.T) {
	const file = "symbol,id,low,high,state,collar\nTULIP,17, 1,100,auction,5\n,18,2,3,continuous,0\n"
	list, err := readInstruments(strings.NewReader(file))
	want := []match.Definition{
		{ID: 17, Symbol: [16]byte{'T', 'U', 'L', 'I', 'P'}, Low: 1, High: 100, Collar: 5, State: match.Auction},
		{ID: 18, Low: 2, High: 3, State: match.Continuous},
	}
	if err != nil || len(list) != 2 || list[0] != want[0] || list[1] != want[1] {
		t.Errorf("%+v, %v", list, err)
	}
	for text, names := range map[string]string{
		"":                                            "columns",
		"id,symbol,low\n":                             `"high"`,
		"id,symbol,low,high\n1,A,x,4\n":               `line 2: low "x"`,
		"id,symbol,low,high\n1,A B,3,4\n":             "A B",
		"id,symbol,low,high\n1,A,3\n":                 "line 2",
		"id,symbol,low,high,age\n1,A,3,4,5":           `"age"`,
		"id,symbol,low,high,state\n1,A,3,4,open":      "closed, auction, continuous, halted",
		"id,symbol,low,high\n1,ABCDEFGHIJKLMNOPQ,3,4": "at most 16",
	} {
		if _, err := readInstruments(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), names) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestOrderLines(t *testing.T) {
	orders := uint64(0)
	decode := func(line string) (q orderbook.Request) {
		words, err := shellWords(line)
		if err != nil {
			t.Fatal(err)
		}
		payload, err := encodeOrderLine(words, &orders)
		if err != nil || !orderbook.DecodeRequest(payload, &q) {
			t.Fatalf("%q: %v", line, err)
		}
		return q
	}
	if q := decode("buy 100 5"); q.New != (match.New{ClientOrder: 1, Instrument: 1, Side: match.Buy, Type: match.Limit,
		Price: 100, Quantity: 5}) {
		t.Errorf("%+v", q)
	}
	if q := decode("sell 7 2 3"); q.New.Side != match.Sell || q.New.ClientOrder != 2 || q.New.Instrument != 3 {
		t.Errorf("%+v", q)
	}
	if q := decode("new --side sell --type market --quantity 2 --time-in-force fok"); q.New.ClientOrder != 3 ||
		q.New.Type != match.Market ||
		q.New.TIF != match.FOK || q.New.Price != 0 {
		t.Errorf("%+v", q)
	}
	if q := decode("cancel 2"); q.Cancel.ClientOrder != 2 {
		t.Errorf("%+v", q)
	}
	if q := decode("cancel --client-order 3 --quantity 1"); q.Cancel != (match.Cancel{ClientOrder: 3, Quantity: 1}) {
		t.Errorf("%+v", q)
	}
	if q := decode("replace 1 --price 9 --quantity 4"); q.Replace != (match.Replace{ClientOrder: 1, NewClientOrder: 1,
		Price: 9, Quantity: 4}) {
		t.Errorf("%+v", q)
	}
	if q := decode("kill session:0123456789abcdef"); q.Account != 0x8123456789abcdef || q.Off {
		t.Errorf("%+v", q)
	}
	for _, line := range []string{"kill session:", "kill session:x", "kill 0", "buy 100", "buy x 5", "cancel", "cancel 1 2", "frob", "new --side buy",
		"buy 99999999999 1", "state open"} {
		if _, err := encodeOrderLine(strings.Fields(line), &orders); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v", line, err)
		}
	}
}

// TestOrderFromTheShell: thousands of instruments out of a file, an auction, orders of accounts that outlive
// sessions, what the market is told, and an export that loads again.
func TestOrderFromTheShell(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster of real processes for seconds")
	}
	runtime, dir := upLab(t, "--nodes", "1", "--transport", "udp")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	order := func(args ...string) ran {
		t.Helper()
		return lockstep(t, append([]string{"lab", "exec", "--runtime", runtime, "--", self, "order"}, args...)...)
	}
	var text strings.Builder
	text.WriteString("id,symbol,low,high,collar,reference,state\n")
	for id := 1; id <= 3000; id++ {
		fmt.Fprintf(&text, "%d,S%d,1,16777215,500,%d,auction\n", id, id, 1000+id)
	}
	file := filepath.Join(dir, "instruments.csv")
	if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	order("instruments", "load", file).want(t, 0, "3000 instruments defined")
	listed := order("instruments", "list", "--after", "2")
	listed.want(t, 0, "2999,S2999,1,16777215,", "3000,S3000,")
	if lines := strings.Count(listed.out, "\n"); lines != 1+2998 {
		t.Errorf("%d lines are listed", lines)
	}

	order("new", "--instrument", "3000", "--side", "buy", "--price", "4100", "--quantity", "5", "--account", "7",
		"--stay").want(t, 0,
		"order 1 accepted as 1, 5 lots rest")
	order("new", "--instrument", "3000", "--side", "sell", "--price", "3900", "--quantity", "3", "--account", "8",
		"--stay").want(t, 0,
		"order 1 accepted as 2, 3 lots rest")
	order("book", "3000").want(t, 0, "is auction", "4100", "3900")
	order("state", "continuous", "--instrument", "3000").want(t, 0, "done")
	order("book", "3000").want(t, 0, "is continuous, last trade at 4000", "1            2       4100")
	order("state", "continuous", "--instrument", "3000").want(t, exitRefused, "rejected: BadState")
	order("new", "--instrument", "3000", "--side", "buy", "--price", "5000", "--quantity", "1").want(t, exitRefused,
		"order 1 rejected: Collar")
	order("login", "7", "--stay").want(t, 0, "account 7 has 1 open orders")
	order("mass-cancel", "--account", "7").want(t, 0, "order 1 canceled: 2 lots taken off, 0 left (MassCanceled)",
		"1 orders canceled")
	order("kill", "8").want(t, 0, "done")
	order("new", "--side", "buy", "--price", "50", "--quantity", "1", "--account", "8").want(t, exitRefused,
		"rejected: Killed")
	order("watch", "3000", "--hold", "100ms").want(t, 0, "market events from number")
	order("new", "--side", "buy", "--price", "5", "--quantity", "1", "--stay").want(t, exitUsage, "--account")
	lockstep(t, "lab", "down", "--runtime", runtime).want(t, 0)
	lockstep(t, "journal", "dump", filepath.Join(dir, "node1"), "--outputs").want(t, 0, `"reason":"Collar"`,
		`"action":"mass-cancel"`,
		`"kind":"mass-canceled","count":1`)
}
