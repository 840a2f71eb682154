package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"lockstep/tuning"
)

// tuneFlags are what every command of tune takes.
type tuneFlags struct {
	target tuning.Target
	root   string
	state  string
	asJSON bool
}

func tuneCommand() *cobra.Command {
	parent := &cobra.Command{Use: "tune", Short: "What the host must look like to be fit for Lockstep"}
	parent.AddCommand(tuneCheckCommand(), tuneApplyCommand(), tuneRevertCommand(), tuneReportCommand(), tuneWatchCommand(),
		tuneJitterCommand())
	group(parent)
	return parent
}

// looking adds the flags of commands that look at the host.
func (f *tuneFlags) looking(c *cobra.Command) {
	c.Flags().TextVar(&f.target.Profile, "profile", tuning.Leader, "what the host is for: leader, follower, client or lab")
	c.Flags().StringVar(&f.target.Interface, "interface", "", "data interface")
	c.Flags().StringVar(&f.target.Dir, "dir", "", "node directory")
	c.Flags().IntSliceVar(&f.target.Cores, "core", nil, "cores of hot threads")
	f.everywhere(c)
}

func (f *tuneFlags) everywhere(c *cobra.Command) {
	c.Flags().StringVar(&f.root, "root", "/", "look at a file tree below this folder instead of the host")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
}

// storing adds the flag of commands that keep originals.
func (f *tuneFlags) storing(c *cobra.Command) {
	c.Flags().StringVar(&f.state, "state", "", "file that keeps originals (default ROOT/"+tuning.DefaultState+")")
}

// host is what the flags are about.
func (f *tuneFlags) host() (*tuning.Host, error) {
	if filepath.Clean(f.root) == "/" {
		return tuning.ThisHost(), nil
	}
	if info, err := os.Stat(f.root); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("%w: --root %s is no folder", errUsage, f.root)
	}
	return tuning.HostAt(f.root), nil
}

// coresMax bounds what --core may say: as many as the kernel can be built for.
const coresMax = 8192

// look checks the flags and is what they are about.
func (f *tuneFlags) look() (*tuning.Host, error) {
	for _, core := range f.target.Cores {
		if core < 0 || core >= coresMax {
			return nil, fmt.Errorf("%w: --core %d: want 0 to %d", errUsage, core, coresMax-1)
		}
	}
	slices.Sort(f.target.Cores)
	f.target.Cores = slices.Compact(f.target.Cores)
	return f.host()
}

func (f *tuneFlags) options() tuning.Options {
	if f.state == "" {
		f.state = filepath.Join(f.root, tuning.DefaultState)
	}
	return tuning.Options{State: f.state}
}

func tuneCheckCommand() *cobra.Command {
	var f tuneFlags
	c := &cobra.Command{
		Use:   "check",
		Short: "Look at everything of the host that moves the tail; changes nothing",
		Long: `Look at everything of the host that moves the tail of a round trip, and say of each what it is, what it should be, why,
and what mends it; then the score, 0 to 100. It changes nothing.

The states: ok, differs, unsupported (not in this kernel or machine), immovable (the kernel refuses to change it),
needs reboot (a kernel parameter; the line to add is printed), no permission (run it as root).`,
		Example: "  lockstep tune check --profile leader --interface eth0 --dir /var/lib/lockstep --core 2",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			h, err := f.look()
			if err != nil {
				return err
			}
			findings := tuning.Check(h, f.target)
			if f.asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(findings)
			}
			return tuning.Print(c.OutOrStdout(), findings)
		},
	}
	f.looking(c)
	return c
}

func tuneApplyCommand() *cobra.Command {
	var f tuneFlags
	var only []string
	var dryRun bool
	c := &cobra.Command{
		Use:   "apply",
		Short: "Change what differs and can be changed; originals are kept for revert",
		Long: `Change every setting that differs from what the profile wants. The originals are stored, synced, before the first is
changed: lockstep tune revert puts them back, also after a crash in between. Doing it twice changes nothing more.

Kernel parameters are not among them: lockstep tune check prints the line for the boot loader.`,
		Example: `  lockstep tune apply --profile leader --interface eth0 --dir /var/lib/lockstep --core 2 --dry-run
  lockstep tune apply --profile lab --only "transparent huge pages"`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			h, err := f.look()
			if err != nil {
				return err
			}
			o := f.options()
			o.Only, o.DryRun = only, dryRun
			if err := tuning.KnownItems(only); err != nil {
				return fmt.Errorf("%w: --only: %w", errUsage, err)
			}
			before := tuning.Score(tuning.Check(h, f.target))
			changes, err := tuning.Apply(h, f.target, o)
			if err := errors.Join(err, f.print(c.OutOrStdout(), changes)); err != nil {
				return err
			}
			if !f.asJSON {
				fmt.Fprintf(c.OutOrStdout(), "score %d before, %d now\n", before, tuning.Score(tuning.Check(h, f.target)))
			}
			return failures(changes)
		},
	}
	f.looking(c)
	f.storing(c)
	c.Flags().StringArrayVar(&only, "only", nil, "apply this item only; may be repeated")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "print what would be changed, and change nothing")
	return c
}

func tuneRevertCommand() *cobra.Command {
	var f tuneFlags
	var dryRun bool
	c := &cobra.Command{
		Use:   "revert",
		Short: "Put back what apply has changed, the last change first",
		Long: `Put back what lockstep tune apply has changed, the last change first. What somebody else has changed since is left alone
and told; so is what another boot has reset.`,
		Example: "  lockstep tune revert",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			h, err := f.host()
			if err != nil {
				return err
			}
			o := f.options()
			o.DryRun = dryRun
			changes, err := tuning.Revert(h, o)
			if err := errors.Join(err, f.print(c.OutOrStdout(), changes)); err != nil {
				return err
			}
			return failures(changes)
		},
	}
	f.everywhere(c)
	f.storing(c)
	c.Flags().BoolVar(&dryRun, "dry-run", false, "print what would be put back, and change nothing")
	return c
}

// print writes changes, a line each.
func (f *tuneFlags) print(w io.Writer, changes []tuning.Change) error {
	if f.asJSON {
		encoder := json.NewEncoder(w)
		for _, c := range changes {
			if err := encoder.Encode(c); err != nil {
				return err
			}
		}
		return nil
	}
	for _, c := range changes {
		fmt.Fprintln(w, c)
	}
	if len(changes) == 0 {
		fmt.Fprintln(w, "nothing to change")
	}
	return nil
}

// failures is an error when some settings could not be changed.
func failures(changes []tuning.Change) error {
	failed := 0
	for _, c := range changes {
		if c.Outcome == tuning.Failed {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d settings could not be changed", failed, len(changes))
	}
	return nil
}
