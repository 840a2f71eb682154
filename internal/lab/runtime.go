package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// A held lab is found through a folder, the runtime directory:
//
//	lock        locked by the holder as long as it lives, and by nobody else: who gets the lock knows that what
//	            else is here was left by a holder that was killed
//	socket      where the holder answers
//	left.json   what a killed holder leaves for the next one to remove
//	holder.log  the holder's own output
const (
	lockName   = "lock"
	socketName = "socket"
	leftName   = "left.json"
	logName    = "holder.log"
)

var (
	// ErrUp says that a lab is up already.
	ErrUp = errors.New("lab: a lab is up already")
	// ErrNoLab says that no lab is up.
	ErrNoLab = errors.New("lab: no lab is up")
)

// EnvRuntime is what the environment says the runtime directory is.
const EnvRuntime = "LOCKSTEP_LAB"

// RuntimeDir is the runtime directory of this user's lab.
func RuntimeDir() string {
	if dir := os.Getenv(EnvRuntime); dir != "" {
		return dir
	}
	if os.Getuid() == 0 {
		return "/run/lockstep-lab"
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "lockstep-lab")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("lockstep-lab-%d", os.Getuid()))
}

// makeRuntime makes the runtime directory, and refuses one that somebody else could write to.
func makeRuntime(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("%w: runtime directory: %w", ErrOptions, err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("%w: runtime directory: %w", ErrOptions, err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(stat.Uid) != os.Getuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%w: runtime directory %s: want a directory of this user's that nobody else can write to",
			ErrOptions, dir)
	}
	return nil
}

// lockRuntime takes the runtime directory for this process: ErrUp when a holder lives. The lock ends with the process;
// it stays out of the processes that this one starts.
func lockRuntime(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrUp
		}
		return nil, fmt.Errorf("lab: lock %s: %w", f.Name(), err)
	}
	return f, nil
}

// left is what a holder that is killed cannot remove itself.
type left struct {
	Dir string `json:"dir"` // temporary
}

func writeLeft(runtime string, l left) error {
	b, err := json.Marshal(l)
	if err == nil {
		err = os.WriteFile(filepath.Join(runtime, leftName), b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	return nil
}

// removeLeft removes what the last holder left. The caller has the lock.
func removeLeft(runtime string) error {
	name := filepath.Join(runtime, leftName)
	b, err := os.ReadFile(name)
	var l left
	var errs []error
	// A holder killed while it wrote leaves half a file, which names nothing.
	if err == nil && json.Unmarshal(b, &l) == nil && l.Dir != "" {
		dropCounters(l.Dir)
		errs = append(errs, os.RemoveAll(l.Dir))
	}
	for _, file := range []string{name, filepath.Join(runtime, socketName)} {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("lab: remove what the last lab left: %w", err)
	}
	return nil
}
