package command

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lockstep/client"
	"lockstep/internal/inspect"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

func clientToolsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "client",
		Short: "Be a client: send lines, watch acknowledgements level by level, look at sessions",
	}
	group(c)
	c.AddCommand(clientConnectCommand(), clientLevelsCommand(), clientSessionsCommand(), clientSessionCommand())
	return c
}

// sendFlags say where the cluster is and how messages are sent.
type sendFlags struct {
	reach   reachFlags // nodes, cluster, transport
	service string
	levels  []string
	hex     bool
	asJSON  bool
	timeout time.Duration
	hold    time.Duration
	window  int
}

func (f *sendFlags) register(c *cobra.Command) {
	flags := c.Flags()
	f.reach.register(flags, "lockstep client")
	flags.StringVar(&f.service, "service", "echo", "service that the messages are for: "+inspect.ServiceNames()+", or its number")
	flags.BoolVar(&f.hex, "hex", false, "messages are given, and responses printed, as hexadecimal digits")
	flags.BoolVar(&f.asJSON, "json", false, "print a JSON object a line")
	flags.DurationVar(&f.timeout, "timeout", 10*time.Second, "how long to wait for the session, and for anything more while messages are open")
	flags.DurationVar(&f.hold, "hold", 0, "keep the session open for so long afterwards, and print what comes meanwhile")
	flags.IntVar(&f.window, "window", 256, "messages that may be open at once, 1 to 4096")
}

// clientExits is said in the help of what sends.
const clientExits = `
Events of the session are printed on standard error. Exit code 0: every message was acknowledged as asked; 1: the session
could not be opened or failed; 2: flags; 3: a message, or the session, was refused, by the reason printed; 4: the outcome of
a message is unknown: it may or may not take effect.`

func clientConnectCommand() *cobra.Command {
	var f sendFlags
	c := &cobra.Command{
		Use:   "connect [MESSAGE...]",
		Short: "Open a session and send messages: the arguments, or the lines on standard input",
		Long: `Open a session and send messages: the arguments, or else the lines on standard input, as they come, without waiting for
answers in between. A line is printed for every acknowledgement and for every response. An acknowledgement at a level ends
what is awaited below it: of levels that are reached at the same instant the highest is told.
` + clientExits,
		Example: `  echo hello | lockstep client connect --config /etc/lockstep/node1.toml
  lockstep client connect one two three --levels received,durable --nodes 10.0.0.1:7400,10.0.0.2:7400 --cluster 5f0c4b1e8d2a9673
  lockstep lab exec -- lockstep client connect --hex --json 68656c6c6f`,
		RunE: func(c *cobra.Command, args []string) error {
			return f.run(c, args, &printEach{})
		},
	}
	f.register(c)
	c.Flags().StringSliceVar(&f.levels, "levels", []string{"sequenced", "applied"},
		"acknowledgements to ask for: any of received, sequenced, replicated, durable, applied, or none")
	return c
}

func clientLevelsCommand() *cobra.Command {
	var f sendFlags
	c := &cobra.Command{
		Use:   "levels [MESSAGE...]",
		Short: "Send messages one at a time, and show how long each took to every guarantee level",
		Long: `Open a session, send the arguments, or else the lines on standard input, one after the other, each when the one before is
acknowledged, and print for each the time from sending to every guarantee level, in microseconds. An acknowledgement at a
level ends what is awaited below it: where two levels are reached at the same instant, or a higher one first, the lower one
shows "-". The last line has the medians. The times are those of a person's tool; lockstep bench levels measures.
` + clientExits,
		Example: `  seq 100 | lockstep client levels --config /etc/lockstep/node1.toml
  lockstep lab exec -- lockstep client levels one two three`,
		RunE: func(c *cobra.Command, args []string) error {
			f.levels = f.levels[:0]
			for level := wire.LevelReceived; level <= wire.LevelApplied; level++ {
				f.levels = append(f.levels, level.String())
			}
			f.window = 1
			return f.run(c, args, &printLevels{})
		},
	}
	f.register(c)
	_ = c.Flags().MarkHidden("window")
	return c
}

// run sends and prints.
func (f *sendFlags) run(c *cobra.Command, args []string, p printer) error {
	if f.window < 1 || f.window > 4096 || f.timeout <= 0 || f.hold < 0 {
		return fmt.Errorf("%w: --window: want 1 to 4096; --timeout: above 0; --hold: 0 or more", errUsage)
	}
	s := &clientSession{flags: f, printer: p, out: c.OutOrStdout(), said: c.ErrOrStderr(), open: map[uint64]*sentMessage{}}
	var err error
	if s.service, err = parseService(f.service); err != nil {
		return err
	}
	if s.levels, err = parseLevels(f.levels); err != nil {
		return err
	}
	o, tr, err := f.options(c.Context())
	if err != nil {
		return err
	}
	o.Transport, o.Window = tr, uint32(f.window)
	defer tr.Close()
	if s.client, err = client.New(o, s); err != nil {
		return err
	}
	return s.run(c.Context(), clientLines(c.Context(), args, c.InOrStdin()))
}

// options are the client's, with an open transport.
func (f *sendFlags) options(ctx context.Context) (client.Options, transport.Transport, error) {
	o, tr, err := f.reach.options(ctx)
	if err != nil || tr != nil {
		return o, tr, err
	}
	var local transport.Addr
	if local.IP, err = transport.LocalFor(o.Nodes[0]); err != nil {
		return o, nil, err
	}
	tr, err = transport.OpenUDP(transport.UDPOptions{Local: local})
	return o, tr, err
}

func parseService(s string) (uint16, error) {
	n, err := inspect.ParseService(s)
	if err == nil && n == service.None {
		err = fmt.Errorf("%q takes no messages", s)
	}
	if err != nil {
		return 0, fmt.Errorf("%w: --service: %w", errUsage, err)
	}
	return n, nil
}

func parseLevels(names []string) (levels wire.Levels, err error) {
	for _, name := range names {
		level, ok := wire.ParseLevel(strings.TrimSpace(name))
		if !ok {
			return 0, fmt.Errorf("%w: --levels: %q: want any of received, sequenced, replicated, durable, applied, or none", errUsage, name)
		}
		if level != wire.LevelNone {
			levels |= wire.LevelsOf(level)
		}
	}
	return levels, nil
}

// payload is what a line says.
func (f *sendFlags) payload(line string) ([]byte, error) {
	if !f.hex {
		return []byte(line), nil
	}
	b, err := hex.DecodeString(strings.ReplaceAll(line, " ", ""))
	if err != nil {
		return nil, fmt.Errorf("%w: --hex: %q: %w", errUsage, line, err)
	}
	return b, nil
}

// text prints what a service answered.
func (f *sendFlags) text(b []byte) string {
	if f.hex {
		return hex.EncodeToString(b)
	}
	return string(b)
}
