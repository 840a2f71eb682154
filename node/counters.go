package node

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"lockstep/internal/counters"
	"lockstep/internal/vfs"
	"lockstep/journal"
)

// countersFile is the mapped counters' name in a node's directory.
const countersFile = "counters"

// counterSlots bounds how many counters a node has.
const counterSlots = 3072

// memoryFolders are where a tmpfs is looked for, the best place first.
var memoryFolders = []string{"/dev/shm", "/run"}

// countersPlaces are where the counters of the node in dir may be if its config does not say. Counting writes to memory
// that the kernel writes back to where the file is: were that the disk that hangs, it would hold up whoever counts. So
// they are on a tmpfs while the node runs, and still there when it is killed; in its directory once it has ended by
// itself, or if no tmpfs takes them. The name says which directory by its path: a copy elsewhere has none.
func countersPlaces(dir string, id journal.Identity) (places []string) {
	at, err := filepath.EvalSymlinks(dir)
	if err == nil {
		at, err = filepath.Abs(at)
	}
	if err != nil {
		return []string{filepath.Join(dir, countersFile)}
	}
	path := fnv.New32a()
	path.Write([]byte(at))
	name := fmt.Sprintf("lockstep-%s-node%d-%08x", ClusterString(id.Cluster), id.Node, path.Sum32())
	for _, folder := range memoryFolders {
		if isTmpfs(folder) {
			places = append(places, filepath.Join(folder, name))
		}
	}
	return append(places, filepath.Join(dir, countersFile))
}

func isTmpfs(folder string) bool {
	var st unix.Statfs_t
	return unix.Statfs(folder, &st) == nil && st.Type == unix.TMPFS_MAGIC
}

// openCounters maps the counters, in the stead of those of an earlier run.
func (n *Node) openCounters() error {
	if err := n.createCounters(); err != nil {
		return fmt.Errorf("%w: key \"counters\": %w", ErrConfig, err)
	}
	n.closers = append(n.closers, n.counters.Close, n.keepCounters)
	n.durable = n.counters.Counter("lockstep_journal_durable_position", "everything below is synced")
	return nil
}

func (n *Node) createCounters() (err error) {
	if n.machine.Inline && n.config.Counters == "" {
		n.counters, err = counters.Create("", counterSlots)
		return err
	}
	usual := countersPlaces(n.config.Dir, n.identity)
	places := usual
	if n.config.Counters != "" {
		places = []string{n.config.Counters}
	}
	var errs []error
	for _, path := range places {
		if n.counters, err = counters.Create(path, counterSlots); err == nil {
			break
		}
		errs = append(errs, err)
	}
	if err != nil {
		return errors.Join(errs...)
	}
	for _, path := range usual {
		if path != n.counters.Path() {
			_ = os.Remove(path) // of an earlier run: nobody shall take it for this one's
		}
	}
	if n.counters.Path() == filepath.Join(n.config.Dir, countersFile) {
		n.logf("counters are in the directory, no tmpfs takes them: a disk that hangs can hold up the whole node through them")
	}
	return nil
}

// keepCounters moves the counters of a node that ends from the tmpfs to its directory.
func (n *Node) keepCounters() error {
	from, to := n.counters.Path(), filepath.Join(n.config.Dir, countersFile)
	if from == "" || from == to || n.config.Counters != "" {
		return nil
	}
	if err := n.counters.Copy(to); err != nil {
		n.logf("the counters stay in %s: %v", from, err)
		return nil
	}
	return os.Remove(from)
}

// OpenCounters maps the counters of the node in dir for reading, whether it runs or has ended. It does not find those
// of a node whose config names a file. Close them after use.
func OpenCounters(dir string) (*counters.View, error) {
	id, err := journal.LoadIdentity(vfs.Real{}, dir)
	if err != nil {
		return nil, err
	}
	for _, path := range countersPlaces(dir, id) {
		var v *counters.View
		if v, err = openOwn(path, dir); err == nil {
			return v, nil
		}
	}
	return nil, err
}

// openOwn opens a file that belongs to root or to whom dir belongs to: everybody may write to some folders.
func openOwn(path, dir string) (*counters.View, error) {
	file, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	folder, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	owner := file.Sys().(*syscall.Stat_t).Uid
	if owner != 0 && owner != folder.Sys().(*syscall.Stat_t).Uid {
		return nil, fmt.Errorf("%w: %s belongs to user %d, %s does not", os.ErrPermission, path, owner, dir)
	}
	return counters.Open(path)
}

// DropCounters removes what a killed node in dir has left on a tmpfs.
func DropCounters(dir string) {
	id, err := journal.LoadIdentity(vfs.Real{}, dir)
	if err != nil {
		return
	}
	places := countersPlaces(dir, id)
	for _, path := range places[:len(places)-1] {
		_ = os.Remove(path)
	}
}
