package tuning

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// KindFile is the kind of settings that are files below the root.
const KindFile = "file"

// Backend reads and writes the settings of one kind. Write must leave what Read returns equal to value, or fail. Errors
// keep the kernel's number (errors.Is with unix.EPERM, fs.ErrNotExist and the like): the states come from it.
type Backend interface {
	Read(name string) (string, error)
	Write(name, value string) error
}

// Prober is a Backend that can say whether a write would be let through, without writing.
type Prober interface{ Probe(name string) error }

// Host is the machine as the check sees it: a file tree, and what only system calls tell.
type Host struct {
	Root string // "/" in production
	// Link asks the kernel about an interface: /sys shows those of the namespace that mounted it, which may be another.
	Link func(name string) (Link, error)
	// Device resolves a directory to its block device's name under /sys/class/block.
	Device func(dir string) (string, error)
	// Space is how many bytes the file system of a directory has free for us, and in all.
	Space func(dir string) (free, all uint64, err error)
	// Clock is what the kernel says of the wall clock.
	Clock func() (Clock, error)

	backends map[string]Backend
}

// Link is what matters of an interface.
type Link struct {
	Up        bool
	Multicast bool
	Index     int // the kernel's number of it; 0 when it is not known
	MTU       int
	Driver    string
}

// ThisHost is the machine that the process runs on.
func ThisHost() *Host {
	h := HostAt("/")
	h.Link, h.Device, h.Space, h.Clock = askLink, blockDevice, fileSpace, kernelClock
	h.Register(KindEthtool, NewEthtool())
	h.Register(KindAffinity, affinities{h: h})
	h.Register(KindService, services{})
	return h
}

// HostAt is a machine of which there is a file tree only.
func HostAt(root string) *Host {
	h := &Host{Root: root, backends: map[string]Backend{}}
	h.Link, h.Device = h.linkInTree, h.deviceInTree
	h.Space = func(string) (uint64, uint64, error) { return 0, 0, errors.ErrUnsupported }
	h.Clock = func() (Clock, error) { return Clock{}, errors.ErrUnsupported }
	h.Register(KindFile, files{root})
	h.Register(KindAffinity, affinities{h: h, tree: true})
	return h
}

// Register takes in settings of a kind.
func (h *Host) Register(kind string, b Backend) { h.backends[kind] = b }

// Get reads a setting of any kind.
func (h *Host) Get(kind, name string) (string, error) {
	b, known := h.backends[kind]
	if !known {
		return "", fmt.Errorf("tuning: settings of kind %q: %w", kind, errors.ErrUnsupported)
	}
	return b.Read(name)
}

func (h *Host) set(kind, name, value string) error {
	b, known := h.backends[kind]
	if !known {
		return fmt.Errorf("tuning: settings of kind %q: %w", kind, errors.ErrUnsupported)
	}
	return b.Write(name, value)
}

// mayWrite is nil when nothing says that a setting cannot be written.
func (h *Host) mayWrite(kind, name string) error {
	if p, can := h.backends[kind].(Prober); can {
		return p.Probe(name)
	}
	return nil
}

// read returns a file's text, trimmed; of a choice in brackets, what is chosen.
func (h *Host) read(path string) (string, error) { return h.Get(KindFile, path) }

func (h *Host) readInt(path string) (int64, error) {
	text, err := h.read(path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("/%s is %q, not a number", path, text)
	}
	return n, nil
}

func (h *Host) exists(path string) bool {
	_, err := os.Lstat(filepath.Join(h.Root, path))
	return err == nil
}

// glob is the paths below the root that match, numbers in them in their order.
func (h *Host) glob(pattern string) []string {
	paths, _ := filepath.Glob(filepath.Join(h.Root, pattern))
	for i, p := range paths {
		paths[i], _ = filepath.Rel(h.Root, p)
	}
	slices.SortFunc(paths, naturally)
	return paths
}

// naturally compares cpu2 before cpu10.
func naturally(a, b string) int {
	if len(a) != len(b) {
		if i := mismatch(a, b); i < min(len(a), len(b)) && digit(a[i]) && digit(b[i]) {
			return len(a) - len(b)
		}
	}
	return strings.Compare(a, b)
}

func mismatch(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// unreadable is the finding of a read that failed.
func unreadable(err error) Finding {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return Finding{State: NoPermission, Current: err.Error(), Fix: "run it as root"}
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, errors.ErrUnsupported):
		return unsupported("not in this kernel or machine")
	}
	return unsupported("cannot be read: %v", err)
}

// change is the finding of something that settings mend: differs, or why this process cannot.
func (h *Host) change(current string, settings ...Setting) Finding {
	f := differs(current, settings...)
	for _, s := range settings {
		if err := h.mayWrite(s.Kind, s.Name); err != nil {
			f.State = refusal(err)
			f.Fix = fmt.Sprintf("%s cannot be written (%v): run it as root, outside a container", s, err)
			return f
		}
	}
	return f
}

// refusal is the state of something whose write fails.
func refusal(err error) State {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
		return NoPermission
	}
	return Immovable
}

// files is the backend of files below a root.
type files struct{ root string }

func (b files) Read(name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(b.root, name))
	return chosen(strings.TrimSpace(string(text))), err
}

// chosen is the word in brackets of a file that lists what it can be, else all of it.
func chosen(text string) string {
	if strings.Contains(text, "\n") {
		return text
	}
	found := ""
	for _, word := range strings.Fields(text) {
		if strings.HasPrefix(word, "[") && strings.HasSuffix(word, "]") {
			if found != "" {
				return text
			}
			found = word[1 : len(word)-1]
		}
	}
	return cmp.Or(found, text)
}

// Write writes in one call, as files of /proc and /sys want it; it creates nothing.
func (b files) Write(name, value string) error {
	f, err := os.OpenFile(filepath.Join(b.root, name), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

func (b files) Probe(name string) error {
	if err := unix.Access(filepath.Join(b.root, name), unix.W_OK); err != nil {
		return &fs.PathError{Op: "write", Path: filepath.Join(b.root, name), Err: err}
	}
	return nil
}

// askLink asks about an interface of this thread's network namespace.
func askLink(name string) (Link, error) {
	device, err := net.InterfaceByName(name)
	if err != nil {
		return Link{}, fmt.Errorf("%s does not exist", name)
	}
	link := Link{Up: device.Flags&net.FlagRunning != 0, Multicast: device.Flags&net.FlagMulticast != 0,
		Index: device.Index, MTU: device.MTU, Driver: "unknown"}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return link, nil
	}
	defer unix.Close(fd)
	if info, err := unix.IoctlGetEthtoolDrvinfo(fd, name); err == nil {
		link.Driver = unix.ByteSliceToString(info.Driver[:])
	}
	return link, nil
}

func (h *Host) linkInTree(name string) (Link, error) {
	dir := "sys/class/net/" + name
	mtu, err := h.readInt(dir + "/mtu")
	if err != nil {
		return Link{}, fmt.Errorf("%s does not exist", name)
	}
	state, _ := h.read(dir + "/operstate")
	text, _ := h.read(dir + "/flags")
	flags, _ := strconv.ParseUint(text, 0, 32)
	link := Link{Up: state == "up", Multicast: flags&unix.IFF_MULTICAST != 0, MTU: int(mtu), Driver: "unknown"}
	if driver, err := os.Readlink(filepath.Join(h.Root, dir, "device/driver")); err == nil {
		link.Driver = filepath.Base(driver)
	}
	return link, nil
}

// blockDevice finds the block device under a directory.
func blockDevice(dir string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return "", err
	}
	return wholeDevice("/", fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)), dir)
}

// deviceInTree finds it in the tree's mounts.
func (h *Host) deviceInTree(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(h.Root, "proc/self/mountinfo"))
	if err != nil {
		return "", err
	}
	number, longest := "", -1
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 5 {
			continue
		}
		at := strings.TrimSuffix(words[4], "/")
		if (dir == at || strings.HasPrefix(dir, at+"/")) && len(at) > longest {
			number, longest = words[2], len(at)
		}
	}
	return wholeDevice(h.Root, number, dir)
}

func wholeDevice(root, number, dir string) (string, error) {
	link, err := os.Readlink(filepath.Join(root, "sys/dev/block", number))
	if err != nil || number == "" {
		return "", fmt.Errorf("%s is not on a block device", dir)
	}
	device := filepath.Base(link)
	if _, err := os.Stat(filepath.Join(root, "sys/class/block", device, "partition")); err == nil {
		device = filepath.Base(filepath.Dir(link))
	}
	return device, nil
}
