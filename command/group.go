package command

import "github.com/spf13/cobra"

// group makes a command of others: alone it shows its help, and a name that is none of them is a usage error.
func group(c *cobra.Command) {
	c.Args = usageArgs(cobra.NoArgs)
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
}
