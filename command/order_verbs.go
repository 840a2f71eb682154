package command

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lockstep/service/orderbook"
	"lockstep/service/orderbook/match"
	"lockstep/wire"
)

// Words on the command line for what an order may be, by number from the first.
var (
	orderSides  = []string{"none", "buy", "sell"}
	orderTypes  = []string{"none", "limit", "market", "stop", "stop-limit"}
	orderTimes  = []string{"day", "gtc", "gtd", "ioc", "fok"}
	orderSelves = []string{"allow", "cancel-newest", "cancel-oldest", "cancel-both"}
	orderStates = []string{"none", "closed", "auction", "continuous", "halted"}
)

// pick is the number of a word.
func pick[T ~uint8](flag, word string, words []string) (T, error) {
	if i := slices.Index(words, word); i >= 0 && word != "none" {
		return T(i), nil
	}
	want := slices.DeleteFunc(slices.Clone(words), func(s string) bool { return s == "none" })
	return 0, fmt.Errorf("%w: %s %q: want %s", errUsage, flag, word, strings.Join(want, ", "))
}

// request makes a verb's message of a request.
func request(q *orderbook.Request) func([]string) ([]byte, error) {
	return func([]string) ([]byte, error) { return encodeOrder(q), nil }
}

func orderNewVerb() shellVerb {
	var side, kind, tif, self, expire string
	q := orderbook.Request{Command: orderbook.NewOrder}
	n := &q.New
	c := &cobra.Command{
		Use:   "new",
		Short: "Send a new order",
		Example: `  lockstep order new --side buy --price 100 --quantity 5 --level durable
  lockstep order new --side sell --type market --quantity 2 --time-in-force ioc
  lockstep order new --side buy --type stop-limit --stop 120 --price 125 --quantity 5 --time-in-force gtd --expire 1h
  lockstep order new --side sell --price 130 --quantity 100 --display 10 --post-only --self-match cancel-oldest`,
		Args: cobra.NoArgs,
	}
	p := c.Flags()
	p.StringVar(&side, "side", "", "buy or sell")
	p.StringVar(&kind, "type", "limit", "limit, market, stop or stop-limit")
	p.StringVar(&tif, "time-in-force", "day",
		"day, gtc (till canceled), gtd (till --expire), ioc (the rest is canceled) or fok (whole or not at all)")
	p.StringVar(&self, "self-match", "allow",
		"when it meets an order of its own account: allow, cancel-newest, cancel-oldest or cancel-both")
	p.StringVar(&expire, "expire", "", "of gtd: a time (2026-01-02T15:00:00Z), or from now (30s)")
	p.BoolVar(&n.PostOnly, "post-only", false, "reject it rather than have it execute on entry")
	p.Uint32Var(&n.Price, "price", 0, "ticks; of limit and stop-limit")
	p.Uint32Var(&n.Stop, "stop", 0, "ticks; of stop and stop-limit")
	p.Uint64Var(&n.Quantity, "quantity", 0, "lots")
	p.Uint64Var(&n.MinQuantity, "min-quantity", 0, "lots; of ioc: at least so many at once, or none")
	p.Uint64Var(&n.Display, "display", 0, "lots that are shown at a time; 0: all")
	p.Uint32Var((*uint32)(&n.Instrument), "instrument", 1, "number of the instrument, from 1")
	p.Uint64Var((*uint64)(&n.ClientOrder), "client-order", 1, "your own number for the order")
	return shellVerb{command: c, encode: func([]string) (_ []byte, err error) {
		if n.Side, err = pick[match.Side]("--side", side, orderSides); err != nil {
			return nil, err
		}
		if n.Type, err = pick[match.Type]("--type", kind, orderTypes); err != nil {
			return nil, err
		}
		if n.TIF, err = pick[match.TimeInForce]("--time-in-force", tif, orderTimes); err != nil {
			return nil, err
		}
		if n.SelfMatch, err = pick[match.SelfMatch]("--self-match", self, orderSelves); err != nil {
			return nil, err
		}
		if n.Expire, err = parseExpire(expire); err != nil {
			return nil, err
		}
		switch {
		case n.Quantity == 0:
			return nil, fmt.Errorf("%w: --quantity is wanted, 1 or more", errUsage)
		case n.Price == 0 && (n.Type == match.Limit || n.Type == match.StopLimit):
			return nil, fmt.Errorf("%w: --price is wanted, 1 or more", errUsage)
		case n.Stop == 0 && (n.Type == match.Stop || n.Type == match.StopLimit):
			return nil, fmt.Errorf("%w: --stop is wanted, 1 or more", errUsage)
		}
		return encodeOrder(&q), nil
	}}
}

// parseExpire reads a time, or how long from now; nothing is 0.
func parseExpire(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, fmt.Errorf("%w: --expire %q: want a time (2026-01-02T15:00:00Z), or how long from now (30s)", errUsage,
				text)
		}
		at = time.Now().Add(d)
	}
	return uint64(max(at.UnixNano(), 0)), nil
}

func orderCancelVerb() shellVerb {
	q := orderbook.Request{Command: orderbook.CancelOrder}
	c := &cobra.Command{
		Use:   "cancel",
		Short: "Take an open order off, or make it smaller",
		Long: `Take an open order of the account off, or with --quantity make it smaller: that is the total that is to stay, with what
has executed. A session of its own has no orders: name an --account, or use lockstep order session.`,
		Example: `  lockstep order new --side buy --price 50 --quantity 9 --client-order 3 --account 8 --stay
  lockstep order cancel --client-order 3 --quantity 4 --account 8 --stay
  lockstep order cancel --client-order 3 --account 8
  lockstep order cancel --client-order 3 --account 8 || test $? = 3`,
		Args: cobra.NoArgs,
	}
	c.Flags().Uint64Var((*uint64)(&q.Cancel.ClientOrder), "client-order", 1, "your own number of the order")
	c.Flags().Uint64Var(&q.Cancel.Quantity, "quantity", 0, "lots in all that are to stay, executed ones included; 0: none")
	return shellVerb{command: c, encode: request(&q)}
}

func orderReplaceVerb() shellVerb {
	q := orderbook.Request{Command: orderbook.ReplaceOrder}
	r := &q.Replace
	c := &cobra.Command{
		Use:   "replace ORDER",
		Short: "Give an open order another price, quantity or id",
		Long: `Give an open order of the account another price, quantity or id. --quantity is the total, with what has executed. The
order keeps its place in the queue when its price stays and it gets no larger.`,
		Example: `  lockstep order new --side buy --price 50 --quantity 9 --account 8 --stay
  lockstep order replace 1 --price 51 --quantity 5 --new-client-order 2 --account 8`,
		Args: cobra.ExactArgs(1),
	}
	p := c.Flags()
	p.Uint64Var((*uint64)(&r.NewClientOrder), "new-client-order", 0, "your own new number for the order; 0: the same")
	p.Uint32Var(&r.Price, "price", 0, "ticks; of limit and stop-limit")
	p.Uint32Var(&r.Stop, "stop", 0, "ticks; of stop and stop-limit")
	p.Uint64Var(&r.Quantity, "quantity", 0, "lots in all, executed ones included")
	p.Uint64Var(&r.Display, "display", 0, "lots that are shown at a time; 0: all")
	return shellVerb{command: c, encode: func(args []string) ([]byte, error) {
		id, err := strconv.ParseUint(args[0], 10, 64)
		if err != nil || r.Quantity == 0 {
			return nil, fmt.Errorf("%w: replace %s: want an order's number, and --quantity, 1 or more", errUsage, args[0])
		}
		r.ClientOrder = match.ClientOrder(id)
		if r.NewClientOrder == 0 {
			r.NewClientOrder = r.ClientOrder
		}
		return encodeOrder(&q), nil
	}}
}

func orderMassCancelVerb() shellVerb {
	var side string
	q := orderbook.Request{Command: orderbook.MassCancel}
	c := &cobra.Command{
		Use:     "mass-cancel",
		Short:   "Take all open orders of the account off",
		Example: "  lockstep order mass-cancel --side buy --instrument 1 --account 8",
		Args:    cobra.NoArgs,
	}
	c.Flags().Uint32Var((*uint32)(&q.Instrument), "instrument", 0, "only those of this instrument; 0: all")
	c.Flags().StringVar(&side, "side", "", "only those of this side, buy or sell; nothing: both")
	return shellVerb{command: c, encode: func([]string) (_ []byte, err error) {
		if side != "" {
			if q.Side, err = pick[match.Side]("--side", side, orderSides); err != nil {
				return nil, err
			}
		}
		return encodeOrder(&q), nil
	}}
}

func orderLoginVerb() shellVerb {
	q := orderbook.Request{Command: orderbook.Login}
	c := &cobra.Command{
		Use:   "login ACCOUNT",
		Short: "Act for an account: see how many open orders it has",
		Long: `Act for an account, 1 to 2^63-1, and see how many open orders it has. Whichever session was logged in to it is told, and is
no more told of its orders. As a line of lockstep order session it holds for the lines that follow.`,
		Example: "  lockstep order login 8 --stay",
		Args:    cobra.ExactArgs(1),
	}
	c.Flags().BoolVar(&q.Stay, "stay", false, "open orders stay when the session ends")
	return shellVerb{command: c, encode: func(args []string) ([]byte, error) {
		id, err := strconv.ParseUint(args[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: login %s: want an account's number", errUsage, args[0])
		}
		q.Account = match.Account(id)
		return encodeOrder(&q), nil
	}}
}

func orderBookVerb() shellVerb {
	q := orderbook.Request{Command: orderbook.DepthRequest}
	c := &cobra.Command{
		Use:     "book INSTRUMENT",
		Short:   "Show an instrument's state, last trade and best prices",
		Example: "  lockstep order book 1 --levels 5",
		Args:    cobra.ExactArgs(1),
	}
	c.Flags().Uint32Var(&q.Levels, "levels", 10, "prices of each side at most; 0: as many as one answer holds")
	return shellVerb{command: c, encode: func(args []string) (_ []byte, err error) {
		if q.Instrument, err = parseInstrument(args[0]); err != nil {
			return nil, err
		}
		return encodeOrder(&q), nil
	}}
}

func parseInstrument(text string) (match.Instrument, error) {
	id, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%w: instrument %q: want its number", errUsage, text)
	}
	return match.Instrument(id), nil
}

func orderWatchVerb() shellVerb {
	q := orderbook.Request{Command: orderbook.Subscribe}
	c := &cobra.Command{
		Use:   "watch [INSTRUMENT]",
		Short: "Print what happens on the market, of one instrument or all",
		Long: `Print what happens on the market, of one instrument or all, in order: orders added, reduced and deleted, trades, states,
auctions. It goes on until it is interrupted, or --hold or --count ends it. At most 8 sessions may watch at once.`,
		Example: "  lockstep order watch 1 --hold 200ms",
		Args:    cobra.MaximumNArgs(1),
	}
	return shellVerb{command: c, watches: true, encode: func(args []string) (_ []byte, err error) {
		if len(args) > 0 {
			if q.Instrument, err = parseInstrument(args[0]); err != nil {
				return nil, err
			}
		}
		return encodeOrder(&q), nil
	}}
}

func orderStateVerb() shellVerb {
	q := orderbook.Request{Command: orderbook.SetState}
	c := &cobra.Command{
		Use:   "state STATE",
		Short: "Close, halt or open instruments, or hold an auction",
		Long: `Put an instrument, or all, into a state: closed (orders of the day expire), auction (orders are collected), continuous (what an
auction has collected executes at one price first), or halted. An instrument that is in that state already is refused.`,
		Example: `  lockstep order state auction --instrument 2
  lockstep order state continuous --instrument 2`,
		Args: cobra.ExactArgs(1),
	}
	c.Flags().Uint32Var((*uint32)(&q.Instrument), "instrument", 0, "number of the instrument; 0: all")
	return shellVerb{command: c, encode: func(args []string) (_ []byte, err error) {
		if q.State, err = pick[match.State]("state", args[0], orderStates); err != nil {
			return nil, err
		}
		return encodeOrder(&q), nil
	}}
}

func orderLimitsVerb() shellVerb {
	q := orderbook.Request{Command: orderbook.SetLimits}
	c := &cobra.Command{
		Use:   "limits ACCOUNT|session:ID|default",
		Short: "Set the limits of an account, or of those that have none of their own",
		Example: `  lockstep order limits 8 --max-open 100 --max-quantity 1000 --messages-per-second 50
  lockstep order limits 8`,
		Args: cobra.ExactArgs(1),
	}
	c.Flags().Uint32Var(&q.Limits.MaxOpen, "max-open", 0, "open orders; 0: as many as the book gives an account")
	c.Flags().Uint64Var(&q.Limits.MaxQuantity, "max-quantity", 0, "lots of an order; 0: no limit but the instrument's")
	c.Flags().Uint32Var(&q.Limits.MessagesPerS, "messages-per-second", 0,
		"new orders and replacements a second; 0: no limit")
	return shellVerb{command: c, encode: accountArgument(&q, "default")}
}

func orderKillVerb() shellVerb {
	q := orderbook.Request{Command: orderbook.Kill}
	c := &cobra.Command{
		Use:   "kill ACCOUNT|session:ID|all",
		Short: "Switch an account off: its open orders are taken off, and it can send no new ones",
		Long: `Switch an account, or all, off: open orders are taken off, and new ones are refused. A session that has not logged in to an
account has one of its own, which is named by the session's id as lockstep client sessions prints it.`,
		Example: `  lockstep order kill 8
  lockstep order kill 8 --off
  lockstep order kill session:00c0ffee00c0ffee`,
		Args: cobra.ExactArgs(1),
	}
	c.Flags().BoolVar(&q.Off, "off", false, "let it trade again")
	return shellVerb{command: c, encode: accountArgument(&q, "all")}
}

// accountArgument takes an account's number, or a session's id that stands for its own account, or a word that stands for none.
func accountArgument(q *orderbook.Request, none string) func([]string) ([]byte, error) {
	return func(args []string) ([]byte, error) {
		if args[0] != none {
			text, isSession := strings.CutPrefix(args[0], "session:")
			base := 10
			if isSession {
				base = 16
			}
			id, err := strconv.ParseUint(text, base, 64)
			if err != nil || id == 0 {
				return nil, fmt.Errorf("%w: account %q: want its number, session: and its id, or %s", errUsage, args[0], none)
			}
			if q.Account = match.Account(id); isSession {
				q.Account = orderbook.OwnAccount(wire.SessionID(id))
			}
		}
		return encodeOrder(q), nil
	}
}

func orderBustVerb() shellVerb {
	q := orderbook.Request{Command: orderbook.BustTrade}
	c := &cobra.Command{
		Use:     "bust EXECUTION",
		Short:   "Ask to undo a trade: the book refuses that, by name",
		Example: "  lockstep order bust 1 || test $? = 3",
		Args:    cobra.ExactArgs(1),
	}
	return shellVerb{command: c, encode: func(args []string) (_ []byte, err error) {
		if q.Execution, err = strconv.ParseUint(args[0], 10, 64); err != nil {
			return nil, fmt.Errorf("%w: bust %s: want an execution's number", errUsage, args[0])
		}
		return encodeOrder(&q), nil
	}}
}
