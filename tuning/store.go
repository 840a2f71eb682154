package tuning

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// DefaultState is where Apply keeps originals, below the root.
const DefaultState = "var/lib/lockstep/tune.json"

// stateVersion is of the state file's layout.
const stateVersion = 1

// entry is a setting that was changed, or was about to be.
type entry struct {
	Item string `json:"item"`
	Setting
	Original string `json:"original"`
	// Found is what was read back once it was written; nil when nobody lived to do that.
	Found *string `json:"found,omitempty"`
}

// store is the state file: what Revert needs, in the order of the changes.
type store struct {
	Version int     `json:"version"`
	Boot    string  `json:"boot_id"`
	Root    string  `json:"root"`
	Entries []entry `json:"settings"`

	path string
	lock *os.File
	step func(string)
}

// ErrBusy: another process changes the host.
var ErrBusy = errors.New("another lockstep tune is at work on this state")

// openStore locks the state file's folder and reads the file. forgotten are the settings of another boot.
func openStore(h *Host, o Options) (s *store, forgotten []entry, err error) {
	folder := filepath.Dir(o.State)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, nil, fmt.Errorf("tuning: folder of the state file: %w; name another with --state", err)
	}
	lock, err := os.Open(folder) // a lock file would have to be left behind
	if err != nil {
		return nil, nil, fmt.Errorf("tuning: folder of the state file: %w; name another with --state", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("tuning: %s: %w: wait for it", o.State, ErrBusy), lock.Close())
	}
	s = &store{path: o.State, lock: lock, step: o.step}
	if err := s.read(); err != nil {
		return nil, nil, errors.Join(err, s.close())
	}
	root, boot := filepath.Clean(h.Root), h.bootID()
	if len(s.Entries) > 0 && s.Root != root {
		err := fmt.Errorf("tuning: %s holds settings of root %s, not of %s: name another with --state", o.State, s.Root, root)
		return nil, nil, errors.Join(err, s.close())
	}
	if s.Boot != boot {
		forgotten, s.Entries = s.Entries, nil
	}
	s.Version, s.Boot, s.Root = stateVersion, boot, root
	return s, forgotten, nil
}

func (h *Host) bootID() string {
	id, _ := h.read("proc/sys/kernel/random/boot_id")
	return id
}

func (s *store) read() error {
	text, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("tuning: state file: %w", err)
	}
	if err := json.Unmarshal(text, s); err != nil {
		return fmt.Errorf("tuning: state file %s is damaged (%w): look at the settings in it by hand, then remove it", s.path, err)
	}
	if s.Version != stateVersion {
		return fmt.Errorf("tuning: state file %s has version %d, this build knows %d: revert with the build that wrote it",
			s.path, s.Version, stateVersion)
	}
	return nil
}

// save makes the file what s is, on disk, all or nothing. With no entries there is no file.
func (s *store) save() error {
	if len(s.Entries) == 0 {
		if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("tuning: state file: %w", err)
		}
		return syncDir(filepath.Dir(s.path))
	}
	text, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return fmt.Errorf("tuning: state file: %w", err)
	}
	if err := writeSynced(s.path+".new", append(text, '\n')); err != nil {
		return fmt.Errorf("tuning: state file: %w", err)
	}
	s.step("state written aside")
	if err := os.Rename(s.path+".new", s.path); err != nil {
		return fmt.Errorf("tuning: state file: %w", err)
	}
	s.step("state renamed")
	return syncDir(filepath.Dir(s.path))
}

func (s *store) close() error { return s.lock.Close() }

func (s *store) find(setting Setting) int {
	return slices.IndexFunc(s.Entries, func(e entry) bool { return e.Kind == setting.Kind && e.Name == setting.Name })
}

func writeSynced(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("tuning: folder of the state file: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// same says whether two values are one to the kernel: masks of cores have as many zeros in front as it likes.
func same(a, b string) bool {
	return a == b || strings.Trim(a+b, "0123456789abcdef,") == "" && bare(a) == bare(b)
}

func bare(mask string) string { return strings.TrimLeft(strings.ReplaceAll(mask, ",", ""), "0") }
