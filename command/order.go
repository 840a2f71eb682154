package command

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/spf13/cobra"

	"lockstep/service"
	"lockstep/service/orderbook"
	"lockstep/wire/fb"
)

// orderShell is the order book as the shell knows it.
func orderShell() *shellService {
	return &shellService{number: service.OrderBook, name: "order", print: printOrderReport,
		verbs: []func() shellVerb{orderNewVerb, orderCancelVerb}}
}

func orderCommand() *cobra.Command {
	var f shellFlags
	parent := shellGroup(orderShell(), &f, &cobra.Command{
		Use:   "order",
		Short: "Send an order to the order book from the shell",
		Long: `Send an order to the order book from the shell, and print the acknowledgement and every report. Each call opens
a session of its own and closes it at its end. An order belongs to its session: when that is closed, what rests of the
order is taken off the book. --hold keeps the session open; order session sends several orders in one.`,
		Example: `  lockstep order new --side buy --price 100 --quantity 5
  lockstep lab exec -- lockstep order new --side sell --price 100 --quantity 5 --hold 1s`,
	})
	parent.AddCommand(orderSessionCommand(&f))
	return parent
}

func orderNewVerb() shellVerb {
	var side string
	q := orderbook.Request{}
	c := &cobra.Command{
		Use:     "new",
		Short:   "Send a new limit order",
		Example: "  lockstep order new --side buy --price 100 --quantity 5 --level durable",
		Args:    cobra.NoArgs,
	}
	c.Flags().StringVar(&side, "side", "", "buy or sell")
	c.Flags().Uint64Var(&q.Price, "price", 0, "ticks")
	c.Flags().Uint64Var(&q.Quantity, "quantity", 0, "lots")
	c.Flags().Uint32Var(&q.Instrument, "instrument", 1, "number of the instrument, from 1")
	c.Flags().Uint64Var(&q.ClientOrder, "client-order", 1, "your own number for the order")
	return shellVerb{command: c, encode: func([]string) (_ []byte, err error) {
		if q.Side, err = parseSide(side); err != nil {
			return nil, err
		}
		if q.Price == 0 || q.Quantity == 0 {
			return nil, fmt.Errorf("%w: --price and --quantity are wanted, 1 or more each", errUsage)
		}
		return encodeOrder(&q), nil
	}}
}

func orderCancelVerb() shellVerb {
	q := orderbook.Request{Cancel: true}
	c := &cobra.Command{
		Use:   "cancel",
		Short: "Send a cancel",
		Long: `Send a cancel, in a session of its own: there it finds no order, and the book says so. To cancel an order that
rests, send both in one session: lockstep order session.`,
		Example: "  lockstep order cancel --client-order 1 || test $? = 3",
		Args:    cobra.NoArgs,
	}
	c.Flags().Uint64Var(&q.ClientOrder, "client-order", 1, "your own number of the order")
	c.Flags().Uint32Var(&q.Instrument, "instrument", 1, "number of the instrument, from 1")
	return shellVerb{command: c, encode: func([]string) ([]byte, error) { return encodeOrder(&q), nil }}
}

// encodeOrder is a request as a message.
func encodeOrder(q *orderbook.Request) []byte {
	b := flatbuffers.NewBuilder(128)
	if q.Cancel {
		return orderbook.CancelOrderRequest(b, q.ClientOrder, q.Instrument)
	}
	return orderbook.NewOrderRequest(b, q.ClientOrder, q.Instrument, q.Side, q.Price, q.Quantity)
}

func orderSessionCommand(f *shellFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "session",
		Short: "Send the orders on standard input, one a line, in one session",
		Long: `Send the orders on standard input, one a line, in one session:

  buy PRICE QUANTITY [INSTRUMENT]       sell PRICE QUANTITY [INSTRUMENT]       cancel ORDER [INSTRUMENT]

Orders are numbered from 1 in the order of their lines; cancel takes that number.`,
		Example: `  printf 'buy 100 5\nsell 100 2\ncancel 1\n' | lockstep order session`,
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

func parseSide(s string) (fb.Side, error) {
	switch s {
	case "buy":
		return fb.SideBuy, nil
	case "sell":
		return fb.SideSell, nil
	}
	return 0, fmt.Errorf("%w: --side %q: want buy or sell", errUsage, s)
}

// sendOrderLines submits the orders that a text describes, one a line.
func sendOrderLines(ctx context.Context, s *shell, r io.Reader) error {
	lines := bufio.NewScanner(r)
	orders := uint64(0)
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 {
			continue
		}
		q, err := parseOrder(fields)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if !q.Cancel {
			orders++
			q.ClientOrder = orders
		}
		if err := s.send(ctx, service.OrderBook, encodeOrder(&q)); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return lines.Err()
}

// parseOrder reads "buy PRICE QUANTITY [INSTRUMENT]", "sell ..." or "cancel ORDER [INSTRUMENT]".
func parseOrder(fields []string) (q orderbook.Request, err error) {
	q.Instrument = 1
	wanted := []*uint64{&q.Price, &q.Quantity}
	switch fields[0] {
	case "buy":
		q.Side = fb.SideBuy
	case "sell":
		q.Side = fb.SideSell
	case "cancel":
		q.Cancel, wanted = true, []*uint64{&q.ClientOrder}
	default:
		return q, fmt.Errorf("%w: %q: want buy, sell or cancel", errUsage, fields[0])
	}
	if n := len(fields) - 1; n < len(wanted) || n > len(wanted)+1 {
		return q, fmt.Errorf("%w: %s: want %d numbers, and perhaps an instrument", errUsage, fields[0], len(wanted))
	}
	for i, field := range fields[1:] {
		value, err := strconv.ParseUint(field, 10, 64)
		switch {
		case err != nil || i == len(wanted) && value > 1<<32-1:
			return q, fmt.Errorf("%w: %q is not a number that fits", errUsage, field)
		case i == len(wanted):
			q.Instrument = uint32(value)
		default:
			*wanted[i] = value
		}
	}
	return q, nil
}

// printOrderReport prints one report of the order book.
func printOrderReport(w io.Writer, payload []byte, asJSON bool) bool {
	var e orderbook.Event
	if !orderbook.DecodeEvent(payload, &e) {
		fmt.Fprintf(w, "%d bytes that are no report of the order book\n", len(payload))
		return false
	}
	if asJSON {
		_ = json.NewEncoder(w).Encode(&e)
		return e.Kind != orderbook.Rejected
	}
	switch e.Kind {
	case orderbook.Accepted:
		fmt.Fprintf(w, "order %d accepted as %d, %d lots rest\n", e.ClientOrder, e.Order, e.Quantity)
	case orderbook.Rejected:
		fmt.Fprintf(w, "order %d rejected: %s\n", e.ClientOrder, e.Reason)
	case orderbook.Executed:
		fmt.Fprintf(w, "order %d executed: %d lots at %d, %d left, execution %d\n", e.ClientOrder, e.Quantity, e.Price,
			e.Left, e.Execution)
	case orderbook.Canceled:
		fmt.Fprintf(w, "order %d canceled: %d lots taken off the book\n", e.ClientOrder, e.Quantity)
	}
	return e.Kind != orderbook.Rejected
}
