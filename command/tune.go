package command

import (
	"encoding/json"
	"os"

	"github.com/spf13/cobra"

	"lockstep/tuning"
)

func tuneCommand() *cobra.Command {
	parent := &cobra.Command{Use: "tune", Short: "What the host must look like to be fit for Lockstep"}
	var target tuning.Target
	var asJSON bool
	check := &cobra.Command{
		Use:     "check",
		Short:   "Look at ten things that move the tail most; reads only",
		Example: "  lockstep tune check --interface eth0 --dir /var/lib/lockstep --core 2",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			findings := tuning.Check(tuning.ThisHost(), target)
			if asJSON {
				return json.NewEncoder(os.Stdout).Encode(findings)
			}
			return tuning.Print(os.Stdout, findings)
		},
	}
	check.Flags().StringVar(&target.Interface, "interface", "", "data interface")
	check.Flags().StringVar(&target.Dir, "dir", "", "node directory")
	check.Flags().IntSliceVar(&target.Cores, "core", nil, "cores of hot threads")
	check.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	parent.AddCommand(check)
	group(parent)
	return parent
}
