package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"lockstep/node"
	"lockstep/wire"
)

// sessionsFlags say whom to ask.
type sessionsFlags struct {
	config   string
	controls []string
	asJSON   bool
}

func (f *sessionsFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.config, "config", "", "config file of any node: its cluster's leader is asked")
	c.Flags().StringSliceVar(&f.controls, "control", nil, "control addresses of nodes, instead: the leader among them is asked, or the first "+
		"that answers")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print the answer as JSON")
}

func clientSessionsCommand() *cobra.Command {
	var f sessionsFlags
	c := &cobra.Command{
		Use:   "sessions",
		Short: "List the sessions of a cluster: who, from where, what is open, what is kept for them",
		Long: `Ask the leader for its sessions, or, if nobody leads, another node, which knows what the log says of them but not where
their clients are.

  OPEN       messages in the log whose records are not committed
  SEQUENCED, COMMITTED, APPLIED   numbers of the newest messages
  RESPONSES  number of the last one given out; RECEIVED: that the client says it has; ACKED: as the log has it
  KEPT       responses kept for the client, KEPT_BYTES: of their payloads
  HEARD      since the client was last heard; BUSY: why its next message was not taken`,
		Example: `  lockstep client sessions --config /etc/lockstep/node1.toml
  lockstep client sessions --control 10.0.0.2:7500 --json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := f.fetch(c.Context(), 0)
			if err != nil {
				return err
			}
			return f.show(c.OutOrStdout(), c.ErrOrStderr(), &s, listSessions)
		},
	}
	f.register(c)
	return c
}

func clientSessionCommand() *cobra.Command {
	var f sessionsFlags
	c := &cobra.Command{
		Use:   "session ID",
		Short: "Show the state of one session",
		Long: `Ask the leader for one session, or, if nobody leads, another node. ID is what lockstep client sessions prints, and what a
client is told when it connects. Of a session that is over it says how it ended, as long as it is one of the newest 4096 of
those. Exit code 1 when the node knows no such session.`,
		Example: "  lockstep client session 8f3a6c1d22e04b97 --config /etc/lockstep/node1.toml",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := node.ParseSession(args[0])
			if err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			s, err := f.fetch(c.Context(), id)
			if err != nil {
				return err
			}
			return f.show(c.OutOrStdout(), c.ErrOrStderr(), &s, describeSession)
		},
	}
	f.register(c)
	return c
}

// fetch finds the leader and asks it; without one, the node that answers.
func (f *sessionsFlags) fetch(ctx context.Context, one wire.SessionID) (s node.Sessions, err error) {
	var nodes []node.NodeConfig
	if f.config != "" {
		cfg, err := node.Load(f.config)
		if err != nil {
			return s, err
		}
		nodes = cfg.Cluster.Nodes
	}
	for i, control := range f.controls {
		nodes = append(nodes, node.NodeConfig{ID: i + 1, Control: control})
	}
	if len(nodes) == 0 {
		return s, fmt.Errorf("%w: give --config FILE, or --control HOST:PORT", errUsage)
	}
	control, term := "", uint64(0)
	for _, asked := range node.Ask(ctx, controlClient, nodes) {
		switch status := &asked.Status; {
		case asked.Err != nil:
			err = asked.Err
		case control == "" || status.Role == "leader" && status.Term >= term:
			control = asked.Node.Control
			if status.Role == "leader" {
				term = status.Term
			}
		}
	}
	if control == "" {
		return s, fmt.Errorf("no node answers: %w", err)
	}
	if s, err = node.FetchSessions(ctx, controlClient, control, one); errors.Is(err, node.ErrNoSession) && s.Role != "leader" {
		err = fmt.Errorf("%w, and it does not lead", err)
	}
	return s, err
}

// show prints an answer, and says when it is not the leader's.
func (f *sessionsFlags) show(w, said io.Writer, s *node.Sessions, print func(io.Writer, *node.Sessions) error) error {
	if f.asJSON {
		return json.NewEncoder(w).Encode(s)
	}
	if s.Role != "leader" {
		fmt.Fprintf(said, "as node %d knows it, which does not lead: where clients are and what is open only a leader knows\n", s.Node)
	}
	return print(w, s)
}

// listSessions prints a line a session.
func listSessions(w io.Writer, s *node.Sessions) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "SESSION\tNAME\tSTATE\tADDRESS\tWINDOW\tOPEN\tSEQUENCED\tCOMMITTED\tAPPLIED\tRESPONSES\tRECEIVED\tACKED\tKEPT\t"+
		"KEPT_BYTES\tHEARD\tBUSY")
	for i := range s.Sessions {
		x := &s.Sessions[i]
		address, open, sequenced, committed, received, heard, busy := "-", "-", "-", "-", "-", "-", "-"
		if l := x.Lead; l != nil {
			address, busy = orDash(l.Address), orDash(l.Busy)
			open, sequenced, committed = fmt.Sprint(l.Open), fmt.Sprint(l.Sequenced), fmt.Sprint(l.Committed)
			received, heard = fmt.Sprint(l.Received), (time.Duration(l.HeardMs) * time.Millisecond).String()
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%d\t%d\t%s\t%d\t%d\t%d\t%s\t%s\n", x.ID, orDash(x.Name), x.State, address,
			x.Window, open, sequenced, committed, x.Applied, x.Responses, received, x.Acked, x.Kept, x.KeptBytes, heard, busy)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d sessions, as node %d (%s, term %d) knows them\n", len(s.Sessions), s.Node, s.Role, s.Term)
	return err
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// describeSession prints one session, a line a fact.
func describeSession(w io.Writer, s *node.Sessions) error {
	for i := range s.Sessions {
		x := &s.Sessions[i]
		fmt.Fprintf(w, "session    %s (%s), %s, as node %d (%s, term %d) knows it\n", x.ID, orDash(x.Name), x.State, s.Node, s.Role, s.Term)
		if x.Closed != "" {
			fmt.Fprintf(w, "closed     %s; the last message applied was %d, the last response given out %d\n", x.Closed, x.Applied, x.Responses)
			continue
		}
		if l := x.Lead; l != nil {
			fmt.Fprintf(w, "client     %s, heard %v ago\n", orDash(l.Address), time.Duration(l.HeardMs)*time.Millisecond)
			fmt.Fprintf(w, "messages   sequenced %d, committed %d (%d open of a window of %d), applied %d, %d without effect\n",
				l.Sequenced, l.Committed, l.Open, x.Window, x.Applied, x.NoEffect)
			fmt.Fprintf(w, "responses  given out %d, received %d, acknowledged in the log %d; kept %d (%d bytes)\n", x.Responses, l.Received,
				x.Acked, x.Kept, x.KeptBytes)
			fmt.Fprintf(w, "busy       %s\n", orDash(l.Busy))
			continue
		}
		fmt.Fprintf(w, "messages   applied %d, %d without effect, window %d\n", x.Applied, x.NoEffect, x.Window)
		fmt.Fprintf(w, "responses  given out %d, acknowledged in the log %d; kept %d (%d bytes)\n", x.Responses, x.Acked, x.Kept, x.KeptBytes)
	}
	return nil
}
