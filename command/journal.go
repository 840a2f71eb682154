package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"lockstep/internal/archive"
	"lockstep/internal/inspect"
	"lockstep/internal/vfs"
	"lockstep/journal"
)

func journalCommand() *cobra.Command {
	parent := &cobra.Command{
		Use:   "journal",
		Short: "Read journals, compare and replay them, archive and restore them",
		Long: `Read the journal in a node's directory, or in an archive. Nothing is changed there (archive notes how far it has
come) and no lock is taken: the node may run meanwhile. What it is writing may then look like a torn end, and what it shows last may not be
committed.

Exit codes: 0 done; 1 something is damaged, differs or was not found; 2 wrong flags or directory.`,
		Example: `  lockstep journal verify /var/lib/lockstep
  lockstep journal find /var/lib/lockstep --time 2026-01-02T15:04:05Z
  lockstep journal tail -f /var/lib/lockstep`,
	}
	group(parent)
	parent.AddCommand(journalVerifyCommand(), journalStatCommand(), journalDumpCommand(), journalFindCommand(),
		journalTailCommand(), journalSnapshotsCommand(), journalDiffCommand(), journalReplayCommand(), journalArchiveCommand(),
		journalRestoreCommand())
	return parent
}

// journalDir finds the directory that a user means: a node's, or the folder of segments in it. Of an archive it is where
// the newest stretch of the log is; w is told if there are others.
func journalDir(w io.Writer, arg string) (string, error) {
	list, err := journalDirs(arg)
	if err != nil {
		return "", err
	}
	dir := list[len(list)-1]
	if len(list) > 1 {
		fmt.Fprintf(w, "lockstep: %s has stretches of log with gaps between them: this is %s, the newest; the others: %s\n", arg,
			dir, strings.Join(list[:len(list)-1], ", "))
	}
	return dir, nil
}

// journalDirs finds all directories with log: one, but in an archive with gaps.
func journalDirs(arg string) ([]string, error) {
	dir := filepath.Clean(arg)
	if m, err := archive.Load(vfs.Real{}, dir); err == nil {
		return m.Dirs(dir), nil
	}
	if isDir(filepath.Join(dir, "journal")) {
		return []string{dir}, nil
	}
	if abs, err := filepath.Abs(dir); err == nil && filepath.Base(abs) == "journal" && isDir(abs) {
		return []string{filepath.Dir(abs)}, nil
	}
	return nil, fmt.Errorf("%w: %s is not a node's directory: there is no folder journal in it", errUsage, arg)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// onDir wraps what is done with one journal as a command's RunE.
func onDir(do func(c *cobra.Command, dir string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		dir, err := journalDir(c.ErrOrStderr(), args[0])
		if err != nil {
			return err
		}
		return usageOf(do(c, dir))
	}
}

// usageOf marks errors that are the user's to mend.
func usageOf(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, journal.ErrForeign) {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return err
}

// isRunning says whether a node runs on a directory.
func isRunning(dir string) bool { return vfs.Locked(filepath.Join(dir, "lock")) }

// tellEnd says on w where and how a log ends, for who has read up to there.
func tellEnd(w io.Writer, dir string, e *inspect.Ended) {
	if e.Log == nil {
		return
	}
	switch {
	case isRunning(dir):
		fmt.Fprintf(w, "lockstep: a node runs on %s and its log goes on: read up to position %d; its newest records may "+
			"not be committed\n", dir, e.Chain.Position)
	case e.Log.Outcome != journal.OutcomeIntact:
		fmt.Fprintf(w, "lockstep: %s ends at position %d, sequence %d: %s: %s\n", dir, e.Chain.Position, e.Chain.Sequence,
			e.Log.Outcome, e.Log.Cause)
	}
}
