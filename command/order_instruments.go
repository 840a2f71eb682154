package command

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"lockstep/service"
	"lockstep/service/orderbook"
	"lockstep/service/orderbook/fb"
	"lockstep/service/orderbook/match"
	"lockstep/wire"
)

// instrumentColumns are the columns of a file of instruments.
var instrumentColumns = []string{"id", "symbol", "low", "high", "max_quantity", "collar", "reference", "state"}

func orderInstrumentsCommand(f *shellFlags) *cobra.Command {
	c := &cobra.Command{
		Use:   "instruments",
		Short: "Define instruments, and list them",
		Example: `  printf 'id,symbol,low,high,max_quantity,collar,reference,state\n17,TULIP,1,100000,0,500,2000,continuous\n' > tulips.csv
  lockstep order instruments load tulips.csv
  lockstep order instruments list --after 16`,
	}
	group(c)
	c.AddCommand(orderLoadCommand(f), orderListCommand(f))
	return c
}

func orderLoadCommand(f *shellFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "load FILE|-",
		Short: "Define the instruments that a CSV file lists",
		Long: `Define the instruments that a CSV file (- is standard input) lists, in its order, in messages of 512. Its first line names the
columns, in any order:

  id            number, from 1 to the highest that the book takes (4096)
  symbol        at most 16 printable characters without spaces
  low, high     price band, ticks: every price and stop lies within
  max_quantity  lots of one order; 0: the highest that the book takes
  collar        how many ticks from the reference an order may be priced, or a market order execute; 0: any
  reference     what the collar is measured from while there was no trade, ticks; 0: nothing
  state         that it opens in: closed, auction, continuous or halted

max_quantity, collar, reference and state may be missing: 0, and continuous. An instrument that is there already may get
another collar, reference or max_quantity at any time; anything else only while it has no open orders, and it begins anew. The
first one that is refused ends the load; those before it stay.`,
		Example: `  printf 'id,symbol,low,high\n18,ROSE,1,5000\n19,LILY,1,5000\n' | lockstep order instruments load -`,
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			in := c.InOrStdin()
			if args[0] != "-" {
				file, err := os.Open(args[0])
				if err != nil {
					return fmt.Errorf("%w: %w", errUsage, err)
				}
				defer file.Close()
				in = file
			}
			list, err := readInstruments(in)
			if err != nil {
				return fmt.Errorf("%w: %s: %w", errUsage, args[0], err)
			}
			return f.run(c, func(s *shell) error { return loadInstruments(c.Context(), c.OutOrStdout(), s, list) })
		},
	}
}

// readInstruments reads a CSV file.
func readInstruments(r io.Reader) (list []match.Definition, err error) {
	file := csv.NewReader(r)
	file.TrimLeadingSpace = true
	columns, err := file.Read()
	if err != nil {
		return nil, fmt.Errorf("the line that names the columns: %w", err)
	}
	given := map[string]bool{}
	for _, name := range columns {
		given[name] = true
	}
	for _, name := range instrumentColumns[:4] {
		if !given[name] {
			return nil, fmt.Errorf("there is no column %q: want %s", name, strings.Join(instrumentColumns, ", "))
		}
	}
	for {
		row, err := file.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		line, _ := file.FieldPos(0)
		d := match.Definition{State: match.Continuous}
		for i := 0; i < len(row) && err == nil; i++ {
			err = setColumn(&d, columns[i], row[i])
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		list = append(list, d)
	}
}

// setColumn takes one field of an instrument.
func setColumn(d *match.Definition, column, text string) (err error) {
	if column == "symbol" {
		if len(text) > len(d.Symbol) {
			return fmt.Errorf("symbol %q: want at most %d characters", text, len(d.Symbol))
		}
		for i, c := range []byte(text) {
			if c <= ' ' || c > '~' {
				return fmt.Errorf("symbol %q: want printable characters without spaces", text)
			}
			d.Symbol[i] = c
		}
		return nil
	}
	if column == "state" {
		d.State, err = pick[match.State]("state", text, orderStates)
		return err
	}
	bits := 32
	if column == "max_quantity" {
		bits = 64
	}
	n, err := strconv.ParseUint(text, 10, bits)
	if err != nil {
		return fmt.Errorf("%s %q: want a number", column, text)
	}
	switch column {
	case "id":
		d.ID = match.Instrument(n)
	case "low":
		d.Low = uint32(n)
	case "high":
		d.High = uint32(n)
	case "max_quantity":
		d.MaxQuantity = n
	case "collar":
		d.Collar = uint32(n)
	case "reference":
		d.Reference = uint32(n)
	default:
		return fmt.Errorf("there is no column %q: want %s", column, strings.Join(instrumentColumns, ", "))
	}
	return nil
}

// loadInstruments defines instruments, as many at a time as one message takes.
func loadInstruments(ctx context.Context, w io.Writer, s *shell, list []match.Definition) error {
	defined := uint32(0)
	for len(list) > 0 {
		n := min(len(list), orderbook.MaxListed)
		q := orderbook.Request{Command: orderbook.DefineInstruments, Definitions: list[:n]}
		result, err := s.conn.Submit(ctx, service.OrderBook, wire.LevelApplied, encodeOrder(&q))
		if err != nil {
			return err
		}
		for _, payload := range append([][]byte{result.Response}, result.More...) {
			var e orderbook.Event
			if !orderbook.DecodeEvent(payload, &e) {
				return fmt.Errorf("%d bytes that are no report of the order book", len(payload))
			}
			if e.Kind == orderbook.Rejected {
				return fmt.Errorf("%w: instrument %d: %s; %d were defined before it", errRefused, e.ClientOrder,
					fb.Reject(e.Reason),
					defined)
			}
			defined += e.Count
		}
		list = list[n:]
	}
	fmt.Fprintf(w, "%d instruments defined\n", defined)
	return nil
}

func orderListCommand(f *shellFlags) *cobra.Command {
	var after uint32
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the instruments, as a CSV file that load takes",
		Example: "  lockstep order instruments list > all.csv && lockstep order instruments load all.csv",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return f.run(c, func(s *shell) error {
				if !f.asJSON {
					fmt.Fprintln(c.OutOrStdout(), strings.Join(instrumentColumns, ","))
				}
				return listInstruments(c.Context(), s, after)
			})
		},
	}
	c.Flags().Uint32Var(&after, "after", 0, "only those of higher numbers")
	return c
}

// listInstruments asks for instruments until there are no more.
func listInstruments(ctx context.Context, s *shell, after uint32) error {
	for {
		q := orderbook.Request{Command: orderbook.InstrumentsRequest, Instrument: match.Instrument(after)}
		result, err := s.conn.Submit(ctx, service.OrderBook, wire.LevelApplied, encodeOrder(&q))
		if err != nil {
			return err
		}
		var e orderbook.Event
		if !orderbook.DecodeEvent(result.Response, &e) || e.Kind != orderbook.Instruments {
			return fmt.Errorf("%d bytes that are no list of instruments", len(result.Response))
		}
		if len(e.Definitions) > 0 {
			s.answered(&result)
		}
		if e.Next == 0 {
			return nil
		}
		after = uint32(e.Next)
	}
}
