package command

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/spf13/cobra"

	"lockstep/service"
	"lockstep/service/orderbook"
	"lockstep/service/orderbook/match"
)

// orderShell is the order book as the shell knows it.
func orderShell() *shellService {
	return &shellService{number: service.OrderBook, name: "order", print: printOrderReport,
		verbs: []func() shellVerb{orderNewVerb, orderCancelVerb, orderReplaceVerb, orderMassCancelVerb, orderLoginVerb,
			orderBookVerb, orderWatchVerb, orderStateVerb, orderLimitsVerb, orderKillVerb, orderBustVerb}}
}

func orderCommand() *cobra.Command {
	var f shellFlags
	var account uint64
	var stay bool
	parent := shellGroup(orderShell(), &f, &cobra.Command{
		Use:   "order",
		Short: "Trade on the order book, look at it and run it, from the shell",
		Long: `Trade on the order book, look at it and run it, and print the acknowledgement and every report. Each call opens a
session of its own and closes it at its end. Orders belong to an account: that of the session, unless --account names
another. When the session ends its account's open orders are taken off the book, unless --stay says that they stay; a
later call with the same --account then finds them. --hold keeps the session open; order session sends several
messages in one.

Nobody is asked for a permission: whoever reaches the cluster may act for any account, and run the market.`,
		Example: `  lockstep order new --side buy --price 100 --quantity 5
  lockstep order new --side sell --price 101 --quantity 2 --time-in-force gtc --account 7 --stay
  lockstep order cancel --account 7`,
	})
	p := parent.PersistentFlags()
	p.Uint64Var(&account, "account", 0, "act for this account, 1 to 2^63-1; 0: the session's own")
	p.BoolVar(&stay, "stay", false, "with --account: open orders stay when the session ends")
	f.opened = func(ctx context.Context, s *shell) error {
		if account == 0 && stay {
			return fmt.Errorf("%w: --stay wants --account", errUsage)
		}
		if account == 0 {
			return nil
		}
		return s.send(ctx, service.OrderBook,
			encodeOrder(&orderbook.Request{Command: orderbook.Login, Account: match.Account(account), Stay: stay}))
	}
	parent.AddCommand(orderSessionCommand(&f), orderInstrumentsCommand(&f), orderAuditCommand())
	return parent
}

// encodeOrder is a request as a message.
func encodeOrder(q *orderbook.Request) []byte {
	return orderbook.EncodeRequest(flatbuffers.NewBuilder(256), q)
}

func orderSessionCommand(f *shellFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "session",
		Short: "Send the orders on standard input, one a line, in one session",
		Long: `Send the orders on standard input, one a line, in one session:

  buy PRICE QUANTITY [INSTRUMENT]       sell PRICE QUANTITY [INSTRUMENT]       cancel ORDER

Orders are numbered from 1 in the order of their lines; cancel takes that number. Any other line is a subcommand of
lockstep order with its flags: "new --side buy --type market --quantity 2", "replace 1 --price 101 --quantity 4",
"mass-cancel", "book 1". An answer that says no does not end the session.`,
		Example: `  printf 'buy 100 5\nsell 100 2\nreplace 1 --price 99 --quantity 4\nbook 1\ncancel 1\n' | lockstep order session`,
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return f.run(c, func(s *shell) error {
				if err := sendOrderLines(c.Context(), s, c.InOrStdin()); err != nil {
					return err
				}
				return s.stay(c.Context())
			})
		},
	}
}

// sendOrderLines submits the orders that a text describes, one a line.
func sendOrderLines(ctx context.Context, s *shell, r io.Reader) error {
	lines := bufio.NewScanner(r)
	orders := uint64(0)
	for n := 1; lines.Scan(); n++ {
		words, err := shellWords(lines.Text())
		if err != nil || len(words) == 0 {
			if err != nil {
				return fmt.Errorf("line %d: %w", n, err)
			}
			continue
		}
		payload, err := encodeOrderLine(words, &orders)
		if err == nil {
			err = s.send(ctx, service.OrderBook, payload)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return lines.Err()
}

// encodeOrderLine is the message of a line; orders counts those that are new.
func encodeOrderLine(words []string, orders *uint64) ([]byte, error) {
	if words[0] == "new" {
		*orders++
		return orderShell().encode(append([]string{"new", "--client-order", strconv.FormatUint(*orders, 10)}, words[1:]...))
	}
	short := words[0] == "buy" || words[0] == "sell" || words[0] == "cancel" &&
		!strings.HasPrefix(strings.Join(words[1:], ""), "-")
	if !short {
		return orderShell().encode(words)
	}
	q, err := parseOrder(words)
	if err != nil {
		return nil, err
	}
	if q.Command == orderbook.NewOrder {
		*orders++
		q.New.ClientOrder = match.ClientOrder(*orders)
	}
	return encodeOrder(&q), nil
}

// parseOrder reads "buy PRICE QUANTITY [INSTRUMENT]", "sell ..." or "cancel ORDER".
func parseOrder(fields []string) (q orderbook.Request, err error) {
	var price, instrument, order uint64 = 0, 1, 0
	q = orderbook.Request{Command: orderbook.NewOrder, New: match.New{Side: match.Buy, Type: match.Limit}}
	wanted, optional := []*uint64{&price, &q.New.Quantity, &instrument}, 1
	usage := "PRICE QUANTITY [INSTRUMENT]"
	switch fields[0] {
	case "buy":
	case "sell":
		q.New.Side = match.Sell
	case "cancel":
		q.Command, wanted, optional, usage = orderbook.CancelOrder, []*uint64{&order}, 0, "ORDER"
	default:
		return q, fmt.Errorf("%w: %q: want buy, sell or cancel", errUsage, fields[0])
	}
	if n := len(fields) - 1; n > len(wanted) || n < len(wanted)-optional {
		return q, fmt.Errorf("%w: want %s %s", errUsage, fields[0], usage)
	}
	for i, field := range fields[1:] {
		if *wanted[i], err = strconv.ParseUint(field, 10, 64); err != nil {
			return q, fmt.Errorf("%w: %q is not a number that fits", errUsage, field)
		}
	}
	if price > match.MaxPrice || instrument > 1<<32-1 {
		return q, fmt.Errorf("%w: price %d, instrument %d: that is too high", errUsage, price, instrument)
	}
	q.New.Price, q.New.Instrument, q.Cancel.ClientOrder = uint32(price), match.Instrument(instrument),
		match.ClientOrder(order)
	return q, nil
}
