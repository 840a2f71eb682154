package command

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"lockstep/node"
)

func nodeCommand() *cobra.Command {
	var config string
	var printConfig bool
	c := &cobra.Command{
		Use:   "node",
		Short: "Run a node until it is told to stop (SIGINT, SIGTERM) or has to",
		Long: `Run a node. Its directory is made by lockstep format first. At start it prints what the host lacks (lockstep tune check),
which transport and which way of syncing it got, and why. SIGTERM stops it gracefully: a leader
hands over, everything is synced and the end is marked clean.`,
		Example: `  lockstep node --print-config > node1.toml
  lockstep node --config node1.toml`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if printConfig {
				fmt.Print(node.Sample)
				return nil
			}
			if config == "" {
				return fmt.Errorf("%w: --config FILE is missing (lockstep node --print-config shows one)", errUsage)
			}
			cfg, err := node.Load(config)
			if err != nil {
				return err
			}
			if err := node.PrepareProcess(&cfg, os.Stderr); err != nil {
				return err
			}
			return node.Serve(c.Context(), machine(), cfg, os.Stderr)
		},
	}
	c.Flags().StringVar(&config, "config", "", "config file")
	c.Flags().BoolVar(&printConfig, "print-config", false, "print a config file with every key explained, and stop")
	return c
}
