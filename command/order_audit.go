package command

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"lockstep/internal/bookaudit"
)

func orderAuditCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "audit FILE",
		Short: "Check what the order book has told its clients, from a dump of a journal",
		Long: `Check what the order book has told its clients against itself, from the output of 'lockstep journal dump --outputs'
of a whole journal: in a file, or on standard input (-). No cluster is needed, and no code of the order book is used.

Every message must have its answer; every execution two sides of the same price and quantity; of every order, what was
accepted must be what executed, was canceled and is open; order and execution numbers must be dense; what a session leaves
when it ends must be gone, unless it said that it stays. What does not add up is printed with the number of its record:
exit code 1.`,
		Example: `  lockstep journal dump /var/lib/lockstep --outputs | lockstep order audit -
  lockstep journal dump /var/lib/lockstep --outputs > dump.json && lockstep order audit dump.json`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			in := c.InOrStdin()
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return fmt.Errorf("%w: %w", errUsage, err)
				}
				defer f.Close()
				in = f
			}
			return audit(c.OutOrStdout(), in)
		},
	}
}

func audit(w io.Writer, in io.Reader) error {
	r, err := bookaudit.Read(in)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	for _, f := range r.Findings {
		fmt.Fprintln(w, f)
	}
	fmt.Fprintf(w, "%d records: %d orders, %d executions of %d lots, %d cancels, %d orders open at the end\n", r.Records, r.Orders,
		r.Executions, r.Quantity, r.Canceled, r.Open)
	if r.Count > 0 {
		return fmt.Errorf("%d things do not add up", r.Count)
	}
	fmt.Fprintln(w, "everything adds up")
	return nil
}
